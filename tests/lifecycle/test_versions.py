"""An agent's versions: kept while they are needed, pinned by sessions, rolled back to; and its audit trail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from kernel.errors import Conflict, NotFound, ProviderRejected, Unavailable
from kernel.tables import Span, Upsert, every
from lifecycle.conversations.run import Run
from lifecycle.conversations.session_rows import TABLE as CONVERSATIONS
from lifecycle.conversations.session_rows import partition_of
from lifecycle.registry.actor_operations import KeepVersion, Retire
from lifecycle.registry.agent_history import DECLARATIONS_KEPT, TABLE
from lifecycle.registry.prune import Action
from lifecycle.sessions.start import SessionOptions
from lifecycle.specs.spec import fingerprint
from tests.lifecycle.app import App
from tests.lifecycle.doubles import CountingTables, Fate, FatefulProvider, live_versions, make_actor, spec


def said(text: str, **fields: Any) -> Any:
    """Return a spec whose agent answers the text, so that an answer tells which version gave it."""
    return spec(simulate={"reply": text}, **fields)


@pytest.fixture
def app() -> App:
    return App(CountingTables(), VERSIONS_KEPT=1, SESSION_IDLE_AFTER_S=30 * 86400)


async def declare(app: App, *texts: str) -> None:
    """Declare the agent again with each text, and have each version made."""
    for text in texts:
        await app.declare("bot", said(text))
        await app.services.agents.resolver.resolve("default", "bot", app.signals)


async def labels(app: App) -> list[str]:
    return sorted(number for _, number in await live_versions(app.tables))


async def reasons(app: App) -> dict[str, str]:
    held = await app.services.agents.versions.stored("default", "bot")
    return {each.version.version: each.kept_because for each in held}


async def pinned(app: App) -> str:
    session, _ = await app.services.sessions.start.start("default", "bot", None, SessionOptions(pin_version=True))
    return session.id


async def steps(app: App) -> list[tuple[str, str]]:
    lines, _ = await app.services.agents.versions.audit("default", "bot", 200)
    return [(line.step.value, line.version) for line in reversed(lines)]


async def test_old_versions_are_deleted_but_the_last_ones(app: App) -> None:
    """Once no run can still use them; the dry run says the same and changes nothing."""
    await declare(app, "a", "b", "c", "d")
    early = await app.services.agents.prune.plan()
    assert await reasons(app) == {
        "4": "current",
        "3": "among the last 1 superseded",
        "2": "a run may still use it",
        "1": "a run may still use it",
    }
    app.clock.move(hours=1)
    assert (await reasons(app))["2"] == "deleted by the next prune"
    counting = app.tables
    assert isinstance(counting, CountingTables)
    counting.reset()
    planned = await app.services.agents.prune.plan()
    wrote = [name for name in counting.operations if name.startswith("commit")]
    done = await app.services.agents.prune.run(app.signals)

    assert (early, wrote) == ([], [])
    assert planned == done
    assert [(verdict.action, [each.version for each in verdict.versions]) for verdict in done] == [
        (Action.TRIM, ["1", "2"])
    ]
    assert done[0].reason == "has 2 superseded version(s) more than the 1 that are kept"
    assert await labels(app) == ["3", "4"]
    assert await app.services.agents.prune.plan() == []


async def test_an_agent_in_constant_use_is_trimmed(app: App) -> None:
    """It is never idle, and still loses the versions that nobody needs."""
    await declare(app, "a", "b", "c")
    for _ in range(10):
        app.clock.move(hours=20)
        assert (await app.ask()).state == "succeeded"
        await app.services.agents.prune.run(app.signals)

    assert await labels(app) == ["2", "3"]


async def test_finding_what_to_trim_reads_what_there_is_to_trim(app: App) -> None:
    """Sixty agents, three with versions to spare."""
    counting = app.tables
    assert isinstance(counting, CountingTables)
    for number in range(60):
        await app.declare(f"bot-{number}", said("a"))
        await app.services.agents.resolver.resolve("default", f"bot-{number}", app.signals)
    for number in (7, 8, 9):
        for text in "bc":
            await app.declare(f"bot-{number}", said(text))
    app.clock.move(hours=1)
    counting.reset()
    verdicts = await app.services.agents.prune.plan()

    assert sorted(verdict.agent for verdict in verdicts) == ["bot-7", "bot-8", "bot-9"]
    assert counting.rows_read <= 3 * 4


async def test_a_pinned_session_goes_on_with_its_version(app: App) -> None:
    """The agent changes, its old version is kept for the session, and is deleted once the session lets go of it."""
    await declare(app, "a")
    session = await pinned(app)
    await declare(app, "b", "c", "d")
    app.clock.move(hours=1)
    verdicts = await app.services.agents.prune.run(app.signals)
    assert [(verdict.action, verdict.reason) for verdict in verdicts] == [
        (Action.KEEP, "has 1 open session(s) pinned to version 1"),
        (Action.TRIM, "has 1 superseded version(s) more than the 1 that are kept"),
    ]
    assert await reasons(app) == {
        "4": "current",
        "3": "among the last 1 superseded",
        "1": "pinned by 1 session(s)",
    }
    first = await app.ask(session_id=session)
    free = await app.ask()
    await app.services.conversations.pins.unpin("default", session)
    second = await app.ask(session_id=session)
    await app.services.agents.prune.run(app.signals)

    assert [(run.answer, run.version) for run in (first, free, second)] == [("a", "1"), ("d", "4"), ("d", "4")]
    assert [turn.text for turn in await app.turns(second)] == [first.query, "a", second.query, "d"]
    assert await labels(app) == ["3", "4"]


async def test_a_pinned_session_that_cannot_be_read_keeps_its_version_and_no_other(app: App) -> None:
    """Nobody knows whether it is still pinned; other agents are retired all the same."""
    await declare(app, "a")
    session = await pinned(app)
    await app.declare("idle", spec(idle_after_s=60))
    await app.services.agents.resolver.resolve("default", "idle", app.signals)
    await declare(app, "b", "c", "d")
    row = await app.tables.get(CONVERSATIONS, partition_of("default", session), "session")
    assert row is not None
    await app.tables.commit(CONVERSATIONS, [Upsert(replace(row, values={**row.values, "session": "{"}))])
    app.clock.move(days=1)
    verdicts = await app.services.agents.prune.run(app.signals)

    assert {(verdict.agent, verdict.action) for verdict in verdicts} == {
        ("idle", Action.RETIRE),
        ("bot", Action.KEEP),
        ("bot", Action.TRIM),
    }
    assert (await reasons(app))["1"] == "pinned by 1 session(s)"


@pytest.mark.parametrize("way", ["trimmed", "deleted", "retired"])
async def test_versions_at_a_provider_that_is_lost_keep_no_others(app: App, way: str) -> None:
    """The agent came from a provider that the app has no more: its versions at the other one are deleted."""
    await app.declare("bot", spec(provider="openai"))
    await app.services.agents.administration.prewarm("default", "bot", app.signals)
    await declare(app, "b", "c", "d")
    cast("dict[str, Any]", app.services.agents.providers).pop("openai")
    app.clock.move(hours=1)
    if way == "trimmed":
        await app.services.agents.prune.run(app.signals)
        assert await labels(app) == ["2", "3"]
        return
    if way == "deleted":
        await app.services.agents.administration.delete("default", "bot", app.signals)
    else:
        await app.services.agents.administration.retire("default", "bot", app.signals, timedelta(0))
    agent = await app.services.agents.catalog.find("default", "bot")

    assert await labels(app) == []
    assert agent is not None
    assert agent.record is not None
    assert "openai" in {version.provider for version in agent.record.held}  # it is deleted there once it is back


async def test_a_run_that_starts_a_session_can_pin_it(app: App) -> None:
    """The later runs of the session use the same version, also with the process gone that answered the first."""
    await declare(app, "a")
    first = await app.ask(pin_version=True)
    await declare(app, "b")
    app.services = app.worker()
    second = await app.ask(session_id=first.session_id)

    assert [(run.answer, run.version) for run in (first, second)] == [("a", "1")] * 2


async def test_a_pinned_version_that_got_lost_is_made_again_from_the_spec_of_the_pin(app: App) -> None:
    """Not from the newer declaration: the session's answers stay what they were."""
    await declare(app, "a")
    session = await pinned(app)
    await declare(app, "b")
    record = (await app.services.agents.catalog.get("default", "bot")).record
    assert record is not None
    await app.services.agents.providers["offline"].delete(record.superseded[0])
    # What a run tells the actor that finds its version gone.
    await app.signals.send("default", "bot", KeepVersion("gone", said("a")))
    run = await app.ask(session_id=session)

    assert (run.answer, run.version) == ("a", "3")
    assert await labels(app) == ["2", "3"]
    assert sorted((await live_versions(app.tables)).values()) == sorted(fingerprint(said(text)) for text in "ab")


async def test_a_pinned_session_survives_the_retirement_of_its_agent(app: App) -> None:
    """An operator retires the agent at once; the session's next run has both versions made again."""
    await declare(app, "a")
    session = await pinned(app)
    await declare(app, "b")
    await app.services.agents.administration.retire("default", "bot", app.signals, timedelta())
    assert await labels(app) == []
    run = await app.ask(session_id=session)

    assert (run.answer, await labels(app)) == ("a", ["3", "4"])


async def test_a_pinned_session_does_not_depend_on_the_newest_declaration(app: App) -> None:
    """The agent was changed to what cannot be made; pinned runs go on."""
    await declare(app, "a")
    session = await pinned(app)
    await app.declare("bot", said("b").model_copy(update={"simulate": spec(simulate={"fail_creates": 99}).simulate}))
    run = await app.ask(session_id=session)

    assert (run.state, run.answer) == ("succeeded", "a")


@pytest.mark.parametrize(("error", "code"), [(Unavailable, "unavailable"), (ProviderRejected, "provider_rejected")])
async def test_a_pinned_version_that_cannot_be_had_is_a_clear_error(
    app: App, error: type[BaseException], code: str
) -> None:
    """The agent itself stays as it is."""
    await declare(app, "a")
    session = await pinned(app)
    await declare(app, "b")
    record = (await app.services.agents.catalog.get("default", "bot")).record
    assert record is not None
    pin = (await app.services.conversations.store.load("default", session)).session
    assert pin is not None
    provider = app.services.agents.providers["offline"]
    await provider.delete(record.superseded[0])
    failing = make_actor(app.tables, FatefulProvider(provider, Fate(1, error=error)), app.clock)
    state = await failing.handle(None, "default", "bot", KeepVersion("keep", said("a")))

    assert state.record.keep_failure is not None
    assert (state.record.keep_failure.code, state.record.usable) == (code, True)
    assert [line.step.value for line in state.record.unpublished] == ["create_failed"]


async def test_a_session_with_a_run_under_way_is_not_unpinned(app: App) -> None:
    """The run would not know which version it has; nor is one that has ended, or is not there."""
    await declare(app, "a")
    session = await pinned(app)
    await app.submit(session_id=session)
    with pytest.raises(Conflict) as busy:
        await app.services.conversations.pins.unpin("default", session)
    with pytest.raises(NotFound):
        await app.services.conversations.pins.unpin("other", session)
    ended = await pinned(app)
    await app.services.sessions.end.end("default", ended)
    with pytest.raises(Conflict) as over:
        await app.services.conversations.pins.unpin("default", ended)

    assert (busy.value.code, over.value.code) == ("session_busy", "session_ended")


async def test_sessions_that_ended_pin_nothing(app: App) -> None:
    """Nor does one that was entered and never stored, after a while."""
    await declare(app, "a")
    session = await pinned(app)
    stored = (await app.services.conversations.store.load("default", session)).session
    assert stored is not None
    await app.services.conversations.pins.add(stored)
    await declare(app, "b", "c")
    await app.services.sessions.end.end("default", session)
    app.clock.move(hours=2)
    await app.services.agents.prune.run(app.signals)
    left = [row async for row in every(app.tables, "opensessions", Span("default!bot!pins"))]

    assert await labels(app) == ["2", "3"]
    assert left == []


async def test_a_session_that_expires_leaves_no_pin(app: App) -> None:
    """The timer that ends it removes its entry, whether or not anybody looks for versions to delete."""
    await declare(app, "a")
    await pinned(app)
    app.clock.move(days=31)
    ended = await app.services.sessions.end.expire()
    left = [row async for row in every(app.tables, "opensessions", Span("default!bot!pins"))]

    assert (ended, left) == (1, [])


async def test_rolling_back_takes_the_version_up_again(app: App) -> None:
    """No new version is made, neither back nor forward, and the answer is the earlier one."""
    await declare(app, "a", "b")
    answers: list[Run] = []
    for wanted in ("1", "2"):
        earlier = await app.services.agents.versions.made_from("default", "bot", wanted)
        agent = await app.services.agents.administration.roll_back("default", "bot", earlier, app.signals, by="ann")
        answers.append(await app.ask())
        assert agent.declaration.spec == earlier

    assert [(run.answer, run.version) for run in answers] == [("a", "1"), ("b", "2")]
    assert await labels(app) == ["1", "2"]
    assert (await app.services.agents.catalog.get("default", "bot")).declaration.revision == 4


async def test_rolling_back_to_what_was_deleted_makes_it_again(app: App) -> None:
    """Its spec is kept when its version is not; a revision will do as well as a version."""
    await declare(app, "a", "b", "c")
    app.clock.move(hours=1)
    await app.services.agents.prune.run(app.signals)
    assert await labels(app) == ["2", "3"]
    by_version = await app.services.agents.versions.made_from("default", "bot", "1")
    by_revision = await app.services.agents.versions.declared_as("default", "bot", 1)
    await app.services.agents.administration.roll_back("default", "bot", by_version, app.signals)

    assert by_version == by_revision
    assert (await app.ask()).answer == "a"
    assert await labels(app) == ["2", "3", "4"]


async def test_what_cannot_be_rolled_back_to(app: App) -> None:
    """A version or revision that never was, and one declared too long ago, each with its own code."""
    await declare(app, "first")
    for number in range(DECLARATIONS_KEPT + 1):
        await app.declare("bot", said(f"number {number}"))
    caught: list[str] = []
    for find, wanted in (
        (app.services.agents.versions.made_from, "99999"),
        (app.services.agents.versions.made_from, "1"),
        (app.services.agents.versions.declared_as, 1),
        (app.services.agents.versions.declared_as, 99999),
    ):
        with pytest.raises((NotFound, Conflict)) as error:
            await find("default", "bot", wanted)  # pyright: ignore[reportArgumentType] - each gets its own kind
        caught.append(error.value.code)
    rows = [row.key async for row in every(app.tables, TABLE, Span.prefix("default!bot", "declared!"))]

    assert caught == ["version_not_found", "version_spec_unknown", "revision_not_found", "revision_not_found"]
    assert len(rows) == DECLARATIONS_KEPT
    assert await app.services.agents.versions.declared_as("default", "bot", 2) == said("number 0")


async def test_the_trail_tells_every_step(app: App) -> None:
    """In order, with who and why, whether the rows are told already or still stand with the agent."""
    admin = app.services.agents.administration
    await declare(app, "a", "b")
    app.clock.move(seconds=1)
    await admin.roll_back("default", "bot", said("a"), app.signals, by="ann")
    app.clock.move(seconds=1)
    await admin.switch("default", "bot", app.signals, enabled=False, by="bob")
    app.clock.move(seconds=1)
    await admin.switch("default", "bot", app.signals, enabled=True, by="bob")
    app.clock.move(seconds=1)
    await admin.retire("default", "bot", app.signals, by="cid")
    app.clock.move(seconds=1)
    await admin.restore("default", "bot", app.signals, by="cid")
    app.clock.move(seconds=1)
    await admin.delete("default", "bot", app.signals, by="dan")
    found, _ = await app.services.agents.versions.audit("default", "bot", 200)
    lines = list(reversed(found))
    who = {line.step.value: line.by for line in lines if line.by}

    assert sorted((line.step.value, line.version) for line in lines[:5]) == [
        ("created", "1"),
        ("created", "2"),
        ("declared", ""),
        ("declared", ""),
        ("superseded", "1"),
    ]
    assert [(line.step.value, line.version) for line in lines[5:]] == [
        ("rolled_back", ""),
        ("superseded", "2"),
        ("disabled", ""),
        ("enabled", ""),
        ("retired", "1"),
        ("archived", "2"),
        ("archived", "1"),
        ("restored", "1"),
        ("deleted", ""),
        ("version_deleted", "2"),
        ("version_deleted", "1"),
    ]
    assert who == {
        "rolled_back": "ann",
        "disabled": "bob",
        "enabled": "bob",
        "retired": "cid",
        "restored": "cid",
        "deleted": "dan",
    }
    assert next(line.why for line in lines if line.step == "retired") == "by request"


async def test_the_trail_has_pages(app: App) -> None:
    """Page by page it is what it is as a whole, wherever the pages end."""
    await declare(app, "a", "b", "c")
    whole, last = await app.services.agents.versions.audit("default", "bot", 200)
    paged: list[Any] = []
    after: str | None = None
    pages = 0
    while True:
        page, after = await app.services.agents.versions.audit("default", "bot", 3, after)
        paged += page
        pages += 1
        if after is None:
            break

    assert (paged, last, pages) == (list(whole), None, 3)
    with pytest.raises(NotFound):
        await app.services.agents.versions.audit("default", "nobody", 3)


async def test_a_repeated_operation_tells_nothing_twice(app: App) -> None:
    """Signals come more than once; a failure is told with its code."""
    await declare(app, "a")
    provider = app.services.agents.providers["offline"]
    failing = make_actor(app.tables, FatefulProvider(provider, Fate(1, error=Unavailable)), app.clock)
    for _ in range(3):
        await failing.handle(None, "default", "bot", Retire("away", app.clock.now))
    told = await steps(app)
    lines, _ = await app.services.agents.versions.audit("default", "bot", 200)

    assert [step for step, _ in told].count("retired") == 1
    assert [(line.step.value, line.why) for line in lines if line.step == "delete_failed"] == [
        ("delete_failed", "unavailable")
    ]


async def test_runs_cost_the_trail_nothing(app: App) -> None:
    """Ten runs write no row of it, once what stood with the agent is told."""
    await declare(app, "a")
    await app.ask()
    app.clock.move(minutes=1)
    counting = app.tables
    assert isinstance(counting, CountingTables)
    await app.ask()
    app.clock.move(minutes=1)
    counting.reset()
    for _ in range(10):
        await app.ask()

    assert _of(counting, TABLE) == []


def _of(tables: CountingTables, table: str) -> Sequence[str]:
    return [name for name in tables.operations if name.endswith(f" {table}")]
