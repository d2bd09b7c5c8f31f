"""Parts of sessions and facts have times of their own: each is deleted when it is due, and the others stay."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from lifecycle.conversations.run import Run, RunState
from lifecycle.retention.policy import DataRetentionPolicy, Part, parse_hold_scope
from lifecycle.retention.session_parts import PartRule, SessionParts
from lifecycle.retention.store import RetentionReceipt
from tests.lifecycle.app import App
from tests.lifecycle.doubles import CountingTables, Crash, Fate, spec
from tests.lifecycle.retention.test_retention import DAY_S, facts, hold, keep_at_provider, spent, spoil, started, talk

LONG = "word " * 40_000
"""A text that is too long for a row."""
CONTEXT = "\x01" * 100_000
"""As long as a context may be, of characters that JSON writes in six bytes: too long for a row, too."""


async def applied(app: App, **policy: int) -> RetentionReceipt:
    """Set the policy and do a round of it."""
    retention = app.services.sessions.retention
    _, etag = await retention.policy("default")
    await retention.put_policy("default", DataRetentionPolicy(**policy), etag or None)
    return await app.services.sessions.retention_rounds.apply("default")


async def one_run(app: App, session: str = "old", query: str = "2 + 3", context: str = "Facts.") -> Run:
    """Have one run with a tool's call and a score answered in a session, and end it."""
    await app.declare("counter", spec(tools=("calculator",), simulate={"call_tool": "calculator"}))
    run = await app.ask(query, agent="counter", session_id=session, user_id="ada", context=context)
    await app.services.sessions.end.end("default", session)
    return run


async def left_of(app: App, run: Run) -> Mapping[str, Any]:
    """Return what is left of a run: its texts, tools' calls and score, its session's messages and events."""
    store = app.services.conversations.store
    found = await store.run("default", run.session_id, run.id)
    session = (await store.load("default", run.session_id)).session
    kept = [each.fact for each in await app.facts(run)]
    assert session is not None
    return {
        "session": session.state.value,
        "run": found is not None,
        "texts": bool(found and (found.query or found.answer or found.input.context)),
        "messages": len(await store.turns("default", run.session_id, 0, 10)),
        "tool_calls": len(found.last.effort.tools) if found else 0,
        "tools_of_facts": sum(len(fact.tools) for fact in kept),
        "score": bool(found and found.score),
        "scores_of_facts": sum(fact.score is not None for fact in kept),
    }


WHOLE = {
    "session": "ended",
    "run": True,
    "texts": True,
    "messages": 2,
    "tool_calls": 1,
    "tools_of_facts": 1,
    "score": True,
    "scores_of_facts": 1,
}


@pytest.mark.parametrize(
    ("policy", "gone", "counted"),
    [
        ({"transcripts_s": 8 * DAY_S}, {"texts": False, "messages": 0}, {"transcripts": 1}),
        ({"runs_s": 8 * DAY_S}, {"run": False, "texts": False, "tool_calls": 0, "score": False}, {"runs": 1}),
        ({"tool_calls_s": 8 * DAY_S}, {"tool_calls": 0, "tools_of_facts": 0}, {"tool_calls": 2}),
        ({"evaluations_s": 8 * DAY_S}, {"score": False, "scores_of_facts": 0}, {"evaluations": 2}),
        ({"facts_s": 30 * DAY_S}, {"tools_of_facts": 0, "scores_of_facts": 0}, {"facts": 1}),
    ],
)
async def test_each_part_goes_when_it_is_due_and_the_others_stay(
    policy: dict[str, int], gone: dict[str, Any], counted: dict[str, int]
) -> None:
    """Not a day before; what it cost stays in the sums; the receipt counts, and a second round finds nothing."""
    app = await started()
    run = await one_run(app)
    first, days = app.clock.now.date(), next(iter(policy.values())) // DAY_S
    await app.services.spend.daily_costs.aggregate(app.clock.now)
    costs = (await spent(app, first))[first]
    app.clock.move(days=days, seconds=-60)
    early = await applied(app, **policy)
    before = await left_of(app, run)
    app.clock.move(days=1)
    preview = await app.services.sessions.retention_rounds.preview("default")
    unchanged = await left_of(app, run)
    receipt = await applied(app, **policy)
    again = await applied(app, **policy)

    assert (early.deleted, before, unchanged) == (False, WHOLE, WHOLE)
    assert [found for found in preview.verdicts if not found.erase] == []
    assert bool(preview.verdicts) or bool(preview.days)
    assert await left_of(app, run) == WHOLE | gone
    names = ("sessions", "runs", "transcripts", "tool_calls", "evaluations", "facts")
    assert {name: getattr(receipt, name) for name in names if getattr(receipt, name)} == counted
    assert not again.deleted
    assert (await spent(app, first))[first] == costs
    await app.aclose()


async def test_texts_in_blob_storage_go_with_the_transcript() -> None:
    """And the run can still be read."""
    app = await started()
    run = await one_run(app, query=LONG)
    app.clock.move(days=9)
    await applied(app, transcripts_s=8 * DAY_S)
    found = await app.services.conversations.store.run("default", "old", run.id)

    assert found is not None
    assert (found.state, found.query, found.answer) == (RunState.SUCCEEDED, "", None)
    assert found.spend == run.spend
    assert await app.services.conversations.store.erase_texts("default", "old") == 0
    await app.aclose()


@pytest.mark.parametrize("after", [False, True])
async def test_texts_in_blob_storage_that_only_runs_have_go_with_them_whenever_the_worker_dies(*, after: bool) -> None:
    """A run's context, and all of one that failed; what the history says stays, and can be read."""
    for at in itertools.count(1):
        app = await started()
        await app.declare("broken", spec(simulate={"fail_first": 1, "fail_with": "rejected"}))
        run = await one_run(app, query=LONG, context=CONTEXT)
        failed = await app.ask(LONG + "!", agent="broken", session_id="failed")
        await app.services.sessions.end.end("default", "failed")
        retention = app.services.sessions.retention
        await retention.put_policy("default", DataRetentionPolicy(runs_s=8 * DAY_S), None)
        app.clock.move(days=9)
        fate = Fate(at, after)
        dying = app.worker(fate)
        dying.core.__dict__["large_texts"] = app.services.core.large_texts  # one storage, as in Azure
        with contextlib.suppress(Crash):
            await dying.sessions.retention_rounds.apply("default")
        await app.services.sessions.retention_rounds.apply("default")
        history = [turn.text for turn in await app.turns(run)]
        store = app.services.conversations.store
        left = [await store.erase_texts("default", session) for session in ("old", "failed")]
        gone = [await store.run("default", each.session_id, each.id) for each in (run, failed)]
        await app.aclose()

        assert failed.state is RunState.FAILED
        assert history[0].startswith(LONG)
        assert (left, gone) == ([2, 0], [None, None]), "a message, and the query that it repeats"
        if not fate.struck:
            return


async def test_a_round_looks_at_no_session_twice_that_is_done() -> None:
    """What has become old since the last round is looked at, and what had to stay, however much is kept."""
    tables = CountingTables()
    app = await started(tables)
    for number in range(20):
        await talk(app, f"done-{number}")
    await talk(app, "open", end=False)
    await talk(app, "held")
    await hold(app, "session:held")
    app.clock.move(days=9)
    first = await applied(app, transcripts_s=8 * DAY_S)
    tables.reset()
    second = await app.services.sessions.retention_rounds.apply("default")
    looked_at = tables.operations["get conversations"]
    await app.services.sessions.end.end("default", "open")
    await app.services.sessions.retention.release("default", parse_hold_scope("session:held"), None)
    app.clock.move(days=9)
    third = await app.services.sessions.retention_rounds.apply("default")

    assert (first.transcripts, first.held) == (20, 1)
    assert (second.transcripts, second.held, looked_at) == (0, 1, 2)
    assert (third.transcripts, third.held) == (2, 0)
    assert await app.services.sessions.retention.passed_over("default", Part.TRANSCRIPTS) == []
    await app.aclose()


async def test_a_round_that_is_cut_off_goes_on_where_it_was() -> None:
    """However many sessions there are, it comes to the end of them in the end."""
    app = await started()
    sessions, store = app.services.sessions, app.services.conversations.store
    for number in range(120):
        await sessions.start.start("default", "bot", f"s{number}")
        await sessions.end.end("default", f"s{number}")
    app.clock.move(days=9)
    directory, forget = app.services.conversations.directory, sessions.erasure.forget_conversations
    rule = PartRule(Part.TRANSCRIPTS, timedelta(days=8), [], app.clock.now)
    past = asyncio.get_running_loop().time() - 1
    found: list[tuple[int, bool]] = []
    for _ in range(3):
        rounds = SessionParts(sessions.retention, store, directory, forget)
        steps = rounds.apply("default", rule, RetentionReceipt("r", app.clock.now), past)
        last = [receipt async for receipt in steps][-1]
        found.append((last.transcripts, last.complete))

    assert found == [(50, False), (50, False), (20, True)]
    await app.aclose()


async def test_a_session_whose_part_cannot_be_deleted_keeps_no_other_and_is_tried_again() -> None:
    """Its provider is gone, or its row is damaged; other parts go on, too, and the receipt says that some is left."""
    app = await started()
    run, *others = [await one_run(app, f"s{number}") for number in range(4)]
    await keep_at_provider(app, run.session_id)
    await spoil(app, others[0].session_id)
    app.clock.move(days=9)
    first = await applied(app, transcripts_s=8 * DAY_S, runs_s=8 * DAY_S)
    left = [await left_of(app, each) for each in (run, *others[1:])]
    again = await applied(app, transcripts_s=8 * DAY_S, runs_s=8 * DAY_S)

    assert (first.transcripts, first.runs, first.complete) == (2, 3, False)
    assert [(each["run"], each["messages"]) for each in left] == [(False, 2), (False, 0), (False, 0)]
    assert (again.transcripts, again.runs, again.complete) == (0, 0, False)
    retention = app.services.sessions.retention
    assert set(await retention.passed_over("default", Part.TRANSCRIPTS)) == {run.session_id, others[0].session_id}
    await app.aclose()


@pytest.mark.parametrize("after", [False, True])
async def test_workers_that_die_again_and_again_leave_nothing_behind(after: bool) -> None:
    """Each a write later than the one before, before it took effect or after: the next goes on from there."""
    app = await started()
    kept = [await one_run(app, f"s{number}") for number in range(3)]
    await app.services.spend.daily_costs.aggregate(app.clock.now)
    app.clock.move(days=40)
    policy = dict.fromkeys(("transcripts_s", "tool_calls_s", "evaluations_s", "facts_s"), 35 * DAY_S)
    await app.services.sessions.retention.put_policy("default", DataRetentionPolicy(**policy), None)
    at = 0
    for at in range(1, 60):
        fate = Fate(at, after)
        try:
            await app.worker(fate).sessions.retention_rounds.apply("default")
        except Crash:
            continue
        break
    gone = {"texts": False, "messages": 0, "tool_calls": 0, "score": False, "tools_of_facts": 0, "scores_of_facts": 0}

    assert 3 < at < 59
    assert [await left_of(app, run) for run in kept] == [WHOLE | gone] * 3
    assert await facts(app) == 0
    await app.aclose()
