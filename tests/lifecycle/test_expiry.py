"""Ending sessions: on request, and when nothing happens in them any more."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kernel.due_index import TABLE as DUE
from kernel.errors import Conflict, NotFound, Unavailable
from kernel.ids import new_id
from kernel.tables import Delete, Span, Write, every
from lifecycle.conversations.run import RunState
from lifecycle.conversations.run_and_session_indexes import OPEN
from lifecycle.conversations.session import Session, SessionState
from tests.lifecycle.app import App
from tests.lifecycle.doubles import CountingTables, Crash, Fate, spec

DAY = 86400


@pytest.fixture
async def app() -> App:
    app = App(CountingTables(), SESSION_IDLE_AFTER_S=DAY)
    await app.declare()
    return app


async def rows(app: App, table: str, first: str = "0") -> list[str]:
    return [row.key async for row in every(app.tables, table, Span(first, partition_before="~"))]


async def due(app: App) -> list[str]:
    found = every(app.tables, DUE, Span("session!", partition_before="session!~"))
    return [row.key async for row in found]


async def test_an_idle_session_is_ended_and_forgotten_by_the_indexes(app: App) -> None:
    """It keeps its messages; it keeps no agent, and is not looked at again."""
    run = await app.ask(session_id="chat")
    app.clock.move(days=2)
    count = await app.services.sessions.end.expire()
    _, session = await app.stored(run)

    assert (count, session.state, session.end_reason, session.ended_at) == (
        1,
        SessionState.ENDED,
        "idle_timeout",
        app.clock.now,
    )
    assert (await rows(app, OPEN), await due(app)) == ([], [])
    assert len(await app.turns(run)) == 2
    assert (await app.event_names(run))[-1] == "session.state_changed ended"
    assert await app.services.sessions.end.expire() == 0


class _ThrottledTables(CountingTables):
    """Memory tables that refuse to write about the session `throttled` while `throttled` is set."""

    throttled = False

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        keys = [write.key if isinstance(write, Delete) else write.row.key for write in writes]
        if self.throttled and table == OPEN and "throttled" in keys:
            raise Unavailable
        return await super().commit(table, writes)


async def test_a_session_that_cannot_be_ended_keeps_no_other_from_it() -> None:
    """It is tried again in the next round."""
    tables = _ThrottledTables()
    app = App(tables, SESSION_IDLE_AFTER_S=DAY)
    await app.declare()
    for name in ("a", "throttled", "z"):
        await app.ask(session_id=name)
    app.clock.move(days=2)
    tables.throttled = True
    await app.services.sessions.end.expire()
    left = await rows(app, OPEN), len(await due(app))
    tables.throttled = False
    await app.services.sessions.end.expire()

    assert left == (["throttled"], 1)
    assert (await rows(app, OPEN), await due(app)) == ([], [])
    await app.aclose()


async def test_a_session_in_use_is_looked_at_later(app: App) -> None:
    """Its entry moves to when it would be idle, and is only one."""
    await app.ask(session_id="chat")
    app.clock.move(hours=20)
    run = await app.ask(session_id="chat")
    app.clock.move(hours=5)

    assert await app.services.sessions.end.expire() == 0
    assert await due(app) == ["default!chat"]
    app.clock.move(hours=20)
    assert await app.services.sessions.end.expire() == 1
    assert (await app.stored(run))[1].state is SessionState.ENDED


async def test_runs_that_nobody_will_finish_do_not_keep_a_session_open(app: App) -> None:
    """Their message is lost, or their worker died for good: they are failed, or cancelled if that was accepted."""
    lost = await app.submit(session_id="lost")
    app.services.agents.use_recorder._interval *= 1000
    cancelled = await app.submit(session_id="lost")
    dying = app.worker(Fate(3, after=True))
    with pytest.raises(Crash):
        await app.process(app.queue.sent[-1], worker=dying)
    await app.services.runs.queries.cancel("default", cancelled.run.id)
    app.clock.move(days=2)
    count = await app.services.sessions.end.expire()
    first, session = await app.stored(lost.run)
    second, _ = await app.stored(cancelled.run)

    assert (count, session.state, session.pending) == (1, SessionState.ENDED, 0)
    assert (first.state, first.error and first.error.code) == (RunState.FAILED, "session_expired")
    assert second.state is RunState.CANCELLED
    assert (await app.process(app.queue.sent[0])).state is RunState.FAILED


async def test_a_run_under_way_keeps_its_session_open(app: App) -> None:
    """However long the conversation was silent before."""
    await app.submit(session_id="chat")
    app.clock.move(days=2)
    stored = await app.services.conversations.store.load("default", "chat", app.queue.sent[0].run_id)
    claimed = await app.services.runs.worker._claim(stored, app.queue.sent[-1], None)

    assert await app.services.sessions.end.expire() == 0
    assert not isinstance(claimed, type(stored.run))
    assert await due(app) == ["default!chat"]


async def test_what_was_entered_and_never_came_to_be_is_cleaned_up(app: App) -> None:
    """A caller died between the indexes and the session: no ghost keeps the agent for ever."""
    dying = app.worker(Fate(3, after=True))
    with pytest.raises(Crash):
        await dying.sessions.start.start("default", "bot", "ghost")
    assert "ghost" in await rows(app, OPEN)
    app.clock.move(days=2)
    await app.services.sessions.end.expire()

    assert (await rows(app, OPEN), await due(app)) == ([], [])


async def test_a_session_about_to_be_stored_is_no_ghost() -> None:
    """With a short time-out the entry is due at once; it is kept until its hour is over."""
    app = App(SESSION_IDLE_AFTER_S=1)
    await app.declare()
    await app.services.sessions.start.enter(
        Session("default", "soon", "bot", None, created_at=app.clock.now, last_activity=app.clock.now)
    )
    app.clock.move(seconds=2)
    await app.services.sessions.end.expire()

    assert await due(app) == ["default!soon"]


async def test_ending_on_request(app: App) -> None:
    """It says why, it is final, ending it again is no error, and the agent may be retired."""
    run = await app.ask(session_id="chat")
    ended = await app.services.sessions.end.end("default", "chat")

    assert (ended.state, ended.end_reason) == (SessionState.ENDED, "ended_by_request")
    assert await app.services.sessions.end.end("default", "chat") == ended
    assert await rows(app, OPEN) == []
    assert (await app.stored(run))[1] == ended
    with pytest.raises(NotFound):
        await app.services.sessions.end.end("default", "nothing")


async def test_a_session_with_a_run_is_not_ended_on_request(app: App) -> None:
    """The caller is told to cancel it or to wait."""
    accepted = await app.submit(session_id="chat")
    with pytest.raises(Conflict) as caught:
        await app.services.sessions.end.end("default", "chat")
    await app.services.runs.queries.cancel("default", accepted.run.id)

    assert caught.value.code == "session_busy"
    assert (await app.services.sessions.end.end("default", "chat")).state is SessionState.ENDED


async def test_expiry_costs_what_is_due(app: App) -> None:
    """Five hundred sessions, five of them idle."""
    counting = app.tables
    assert isinstance(counting, CountingTables)
    for number in range(500):
        if number == 5:
            app.clock.move(hours=12)
        await app.services.sessions.start.start("default", "bot", f"s{number}")
    app.clock.move(hours=13)
    counting.reset()

    assert await app.services.sessions.end.expire() == 5
    told_elsewhere = counting.operations["commit events"]
    assert counting.operations.total() - told_elsewhere <= 5 * 6 + 5


async def test_dying_while_expiring_is_made_good(app: App) -> None:
    """At any write: the next expiry ends the session and cleans the indexes."""
    await app.declare("other", spec())
    for number in range(1, 5):
        for after in (False, True):
            name = f"chat-{number}-{after}"
            await app.submit(session_id=name, run_id=new_id())
            app.clock.move(days=2)
            with pytest.raises(Crash):
                await app.worker(Fate(number, after)).sessions.end.expire()
            await app.services.sessions.end.expire()
            stored = await app.services.conversations.store.load("default", name)

            assert stored.session is not None
            assert (stored.session.state, stored.session.pending) == (SessionState.ENDED, 0)
            assert (await rows(app, OPEN), await due(app)) == ([], [])
