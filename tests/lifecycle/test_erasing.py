"""Erasing a session: nothing of it is left anywhere, nothing comes back, and the amounts stay."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kernel.errors import Conflict, NotFound, Unavailable
from kernel.tables import Span, every
from lifecycle.conversations.run import Run
from lifecycle.conversations.session import ProviderConversations, Receipt, RetainedConversation
from lifecycle.conversations.session_rules import erasing
from lifecycle.conversations.session_store import ConversationChange, StoredConversation
from lifecycle.sessions.start import SessionOptions
from llmops.budgets.budget_rules import Budget, Limit, Scope
from llmops.evaluation.policy import EvaluationPolicy, JudgePolicy
from tests.fakes.foundry_server import FakeFoundry
from tests.lifecycle.app import App, Gate, abandon
from tests.lifecycle.doubles import NOW, Crash, Fate, spec
from tests.virtual_time import run_virtually
from tests.waiting import QUIET_S

SECRET = "my-secret-question"
USER = "ann.the-user"
TABLES: list[str] = json.loads((Path(__file__).parents[2] / "infra/app/tables.json").read_text())
"""All there are: any could hold who asked, or what."""


@pytest.fixture
async def app() -> App:
    app = App()
    await app.declare()
    return app


async def erase(app: App) -> Receipt:
    return await app.services.sessions.erasure.erase("default", "chat")


async def ask(app: App, number: int = 1) -> Run:
    runs = [await app.ask(f"{SECRET} {n}", session_id="chat", user_id=USER, stream=n == 0) for n in range(number)]
    return runs[-1]


async def everything(app: App) -> str:
    """Return all that the tables hold, as text."""
    found = [
        f"{table} {row.partition} {row.key} {dict(row.values)}"
        for table in TABLES
        async for row in every(app.tables, table, Span(" ", partition_before="~"))
    ]
    return "\n".join(found)


async def totals(app: App, group_by: str = "user_id") -> dict[str, Any]:
    day = app.clock.now.date()
    sums = await app.services.spend.daily_costs.sums("default", day, day, day)
    found: dict[str, Any] = {}
    for group, spend in sums[day].items():
        name = getattr(group, group_by)
        found[name] = found[name] + spend if name in found else spend
    return found


async def test_nothing_is_left_but_that_it_was_here(app: App) -> None:
    """Texts, user, runs, indexes: gone in one call that says how much it was; another session is untouched."""
    run = await ask(app, 3)
    other = await app.ask("Hello", session_id="other", user_id="bob")
    receipt = await erase(app)
    left = await everything(app)

    assert SECRET not in left
    assert USER not in left
    assert (receipt.runs, receipt.messages, receipt.ledger_lines) == (3, 6, 3)
    assert receipt.events > 6
    assert receipt.completed_at == app.clock.now
    assert left.count("session.erased") == 1
    with pytest.raises(NotFound):
        await app.services.runs.queries.get("default", run.id)
    assert [turn.text for turn in await app.turns(other)] == ["Hello", other.answer]
    assert "bob" in left


@pytest.mark.parametrize("folded", [False, True], ids=["new lines", "summed lines"])
async def test_the_ledger_keeps_its_amounts_and_names_nobody(app: App, folded: bool) -> None:
    """Before and after the lines were added to a report: what was spent stays, in the group without a user."""
    await ask(app, 2)
    await app.ask("Hello", session_id="other", user_id=USER)
    if folded:
        await app.services.spend.daily_costs.aggregate(app.clock.now)
    before = await totals(app)
    await erase(app)
    after = await totals(app)
    await app.services.spend.daily_costs.aggregate(app.clock.now)
    aggregated = await totals(app)

    assert set(before) == {USER}
    assert set(after) == {USER, ""}
    assert after == aggregated
    assert (after[""].calls, after[USER].calls) == (2, 1)
    assert after[""] + after[USER] == before[USER]


@pytest.mark.parametrize("calls", [1, 100], ids=["no room", "room"])
async def test_what_a_worker_that_died_held_of_a_budget_never_brings_the_user_back(calls: int) -> None:
    """Dead at any write of a run within a budget: reservations and waits name nobody, then or later."""
    number = 0
    for number in itertools.count(1):
        app = App(BUDGET_WAIT_S=0.01)
        await app.declare()
        await app.services.budgets.store.put(
            "default", Budget(Scope("workspace"), (Limit("calls", "total", calls),)), None
        )
        await ask(app)
        await app.submit(f"{SECRET} 2", session_id="chat", user_id=USER)
        fate = Fate(number)
        dying = app.worker(fate)
        with contextlib.suppress(Crash):
            await app.process(app.queue.sent[-1], worker=dying)
        await abandon(dying)
        app.clock.move(seconds=61)
        receipt = await erase(app)
        left = await everything(app)
        app.clock.move(hours=1)
        await app.services.budgets.maintenance.run()
        later = await everything(app)
        await app.aclose()

        assert receipt.completed_at is not None
        assert (USER in left, USER in later) == (False, False), number
        assert SECRET not in later
        assert "held!" not in later
        assert "wait!" not in later
        if not fate.struck:
            break

    assert number > 3


async def test_a_judge_that_is_at_an_answer_when_it_is_erased_brings_nothing_back() -> None:
    """Its reason, which tells of the answer, and what it cost, which names who asked."""
    app = App()
    await app.declare("judge", spec(simulate={"reply": '{"score": 2, "reason": "He asks for treasure."}'}))
    await app.declare(declared=spec(evaluation=EvaluationPolicy(judge=JudgePolicy(agent="judge"))))
    app.clock.now = NOW.replace(hour=23, minute=59)
    judged = await ask(app)
    await app.services.runs.judges.run(app.signals)
    assert (await app.stored(judged))[0].score != judged.score
    await ask(app)
    app.clock.move(minutes=2)
    gate = Gate()
    hearing = asyncio.create_task(app.worker(gate=gate).runs.judges.run(app.signals))
    await gate.entered.wait()
    await erase(app)
    gate.open.set()
    heard = await hearing
    left = await everything(app)
    await app.aclose()

    assert (heard.judged, heard.deferred) == (1, 0)
    assert "treasure" not in "\n".join(row for row in left.splitlines() if row.startswith("evaluations"))
    assert USER not in left


async def test_what_judging_cost_on_the_next_day_names_nobody_either() -> None:
    """An answer just before midnight, judged just after it."""
    app = App()
    await app.declare("judge", spec(simulate={"reply": '{"score": 2, "reason": "He asks for treasure."}'}))
    await app.declare(declared=spec(evaluation=EvaluationPolicy(judge=JudgePolicy(agent="judge"))))
    app.clock.now = NOW.replace(hour=23, minute=59)
    await ask(app)
    app.clock.move(minutes=2)
    await app.services.runs.judges.run(app.signals)
    app.clock.move(days=30)
    receipt = await erase(app)
    left = await everything(app)
    await app.aclose()

    assert receipt.ledger_lines == 2
    assert "treasure" not in "\n".join(row for row in left.splitlines() if row.startswith("evaluations"))
    assert USER not in left


async def test_erasing_again_returns_the_same_receipt(app: App) -> None:
    """It can be asked for again and again."""
    await ask(app)
    first = await erase(app)
    app.clock.move(hours=3)

    assert await erase(app) == first
    with pytest.raises(NotFound):
        await app.services.sessions.erasure.erase("default", "nothing")
    with pytest.raises(NotFound):
        await app.services.sessions.erasure.erase("other", "chat")


async def test_no_late_message_brings_it_back(app: App) -> None:
    """A queued run's message, a redelivered one, and a new request in the session's name."""
    await ask(app)
    waiting = await app.submit(SECRET, session_id="chat", user_id=USER)
    receipt = await erase(app)
    late = [await app.deliver(message) for message in app.queue.sent]
    for call in (
        app.submit(SECRET, session_id="chat", user_id=USER),
        app.submit(SECRET, session_id="chat", user_id=USER, run_id=waiting.run.id),
        app.services.sessions.start.start("default", "bot", "chat", SessionOptions(USER)),
    ):
        with pytest.raises(Conflict) as caught:
            await call
        assert caught.value.code == "session_erased"

    assert receipt.completed_at is not None
    assert late == [None, None]
    left = await everything(app)
    assert SECRET not in left
    assert USER not in left


async def test_a_dead_letter_of_it_is_purged_when_it_is_redriven(app: App) -> None:
    """The queue still holds its query until then."""
    accepted = await app.submit(SECRET, session_id="chat")
    letter = app.queue.bury(app.queue.sent[-1])
    await erase(app)
    assert await app.services.runs.dead_letters(app.queue).account() == 0
    await app.services.runs.dead_letters(app.queue).redrive("default", str(letter))
    [(message, _)] = app.queue.redriven

    assert message.run_id == accepted.run.id
    assert await app.deliver(message) is None
    assert SECRET not in await everything(app)


async def test_a_worker_at_it_is_stopped_first(app: App) -> None:
    """Its run is cancelled, and nothing that it was about to write is written."""
    await app.declare("slow", spec(simulate={"latency_ms": 10_000}))
    accepted = await app.submit(SECRET, session_id="chat", agent="slow", user_id=USER)
    working = asyncio.create_task(app.process(app.queue.sent[-1]))
    for _ in range(500):
        if (await app.stored(accepted.run))[0].state == "running":
            break
        await asyncio.sleep(0.01)
    receipt = await asyncio.wait_for(erase(app), QUIET_S)
    await working

    assert receipt.completed_at is not None
    left = await everything(app)
    assert SECRET not in left
    assert USER not in left


def test_a_worker_that_died_is_waited_out() -> None:
    """The receipt is not complete while its lease lasts; the timer completes it."""
    run_virtually(lambda _: _waited_out())


async def _waited_out() -> None:
    app = App()
    await app.declare()
    accepted, working, _ = await app.held()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    ident = accepted.run.session_id
    erasing = asyncio.create_task(app.services.sessions.erasure.erase("default", ident))
    first = await erasing
    assert first.completed_at is None
    assert await app.services.sessions.erasure.finish() == 0
    app.clock.move(seconds=61)
    assert await app.services.sessions.erasure.finish() == 1
    second = await app.services.sessions.erasure.erase("default", ident)

    assert second.completed_at == app.clock.now
    assert await app.deliver(app.queue.sent[-1]) is None


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("folded", [False, True], ids=["new lines", "summed lines"])
async def test_an_erasure_that_was_cut_short_is_finished(after: bool, folded: bool) -> None:
    """Dead at any write: the timer finishes it, with the same receipt and the same amounts."""
    number = 0
    for number in itertools.count(1):
        app = App()
        await app.declare()
        run = await ask(app, 2)
        if folded:
            await app.services.spend.daily_costs.aggregate(app.clock.now)
        before = await totals(app, "agent")
        fate = Fate(number, after)
        with contextlib.suppress(Crash):
            await app.worker(fate).sessions.erasure.erase("default", "chat")
        await app.services.sessions.erasure.finish()
        if not after and number <= 2 and (await app.services.conversations.store.load("default", "chat")).run is None:
            await erase(app)  # it died before anything said that it was asked for
        receipt = await erase(app)
        left = await everything(app)

        assert SECRET not in left, number
        assert USER not in left, number
        assert (receipt.runs, receipt.messages, receipt.ledger_lines) == (2, 4, 2)
        assert await totals(app, "agent") == before
        assert run.session_id == "chat"
        if not fate.struck:
            break

    assert number > 10


async def test_the_providers_conversations_are_deleted() -> None:
    """Also those that were given up after a failure; one that is gone already is no error."""
    async with FakeFoundry() as fake:
        app = App(FOUNDRY_PROJECT_ENDPOINT=fake.endpoint)
        await app.declare(declared=spec(provider="foundry"))
        await ask(app)
        fake.fail_next("server_error", on="create_response")
        await app.ask(f"{SECRET} 2", session_id="chat", user_id=USER)
        assert len(fake.project.conversations) == 2
        fake.project.conversations.pop(next(iter(fake.project.conversations)))
        fake.fail_next("unavailable", on="delete_conversation", times=2)
        with pytest.raises(Unavailable):
            await erase(app)
        for _ in range(3):
            await app.services.sessions.erasure.finish()
        receipt = await erase(app)
        await app.aclose()
        await app.services.aclose()

    assert fake.project.conversations == {}
    assert receipt.conversations == 2


async def test_one_erasure_that_cannot_be_finished_holds_up_no_other(app: App) -> None:
    """A provider that the app has lost keeps one session's conversation; the others are erased."""
    for name in ("a-stuck", "b-free"):
        await app.ask(SECRET, session_id=name)
        await app.services.conversations.store.update("default", name, None, partial(_condemn, name=name))
        await app.services.sessions.erasure._due.add("default", name, app.clock.now)

    assert await app.services.sessions.erasure.finish() == 1
    with pytest.raises(Unavailable) as caught:
        await app.services.sessions.erasure.erase("default", "a-stuck")
    assert caught.value.code == "provider_not_configured"
    assert (await app.services.sessions.erasure.erase("default", "b-free")).completed_at is not None


async def test_the_timer_forgets_no_erasure_that_has_just_begun(app: App) -> None:
    """It looked after the entry and before the tombstone, and the call died after that: it is finished all the same."""
    await app.ask(SECRET, session_id="begun")
    await app.services.sessions.erasure._due.add("default", "begun", app.clock.now)
    assert await app.services.sessions.erasure.finish() == 0
    await app.services.conversations.store.update("default", "begun", None, partial(_condemn, name="begun"))

    assert await app.services.sessions.erasure.finish() == 1
    assert await app.services.sessions.erasure.finish() == 0


def _condemn(stored: StoredConversation, name: str) -> ConversationChange:
    assert stored.session is not None
    kept = (RetainedConversation("lost", "conv_1"),) if name == "a-stuck" else ()
    return ConversationChange(replace(erasing(stored.session, NOW), at_provider=ProviderConversations(kept=kept)))
