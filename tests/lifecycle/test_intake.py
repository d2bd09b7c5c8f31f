"""Accepting runs: once per key, found again after any crash, and honest when the broker refuses."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import pytest

from kernel.errors import Conflict, NotFound, TooLarge, Unavailable
from kernel.ids import new_id
from kernel.tables import Span, every
from lifecycle.conversations.run import RunState
from lifecycle.conversations.run_and_session_indexes import OPEN
from lifecycle.conversations.run_request import RunRequest
from lifecycle.conversations.session_store import TABLE as CONVERSATIONS
from lifecycle.sessions.list import Filter
from lifecycle.sessions.start import SessionOptions
from tests.lifecycle.app import App, abandon
from tests.lifecycle.doubles import Crash, Fate, SmallTables, spec


@pytest.fixture
async def app() -> App:
    app = App()
    await app.declare()
    return app


async def count(app: App, table: str, prefix: str = "") -> int:
    rows = every(app.tables, table, Span("0", partition_before="~"))
    return len([row async for row in rows if row.key.startswith(prefix)])


async def test_a_run_is_stored_and_then_queued(app: App) -> None:
    """What was accepted can be read, and its message names it."""
    accepted = await app.submit(metadata={"order": "7"}, user_id="ann")
    run, session = await app.stored(accepted.run)

    assert accepted.created
    assert (run.state, run.metadata, run.user_id) == (RunState.QUEUED, {"order": "7"}, "ann")
    assert [message.run_id for message in app.queue.sent] == [run.id]
    assert (session.runs, session.pending, session.user_id) == (1, 1, "ann")


async def test_the_same_key_is_the_same_run(app: App) -> None:
    """Submitting again returns the first run and makes nothing new, before and after it is answered."""
    key = new_id()
    first = await app.submit(run_id=key)
    second = await app.submit(run_id=key)
    await app.process(app.queue.sent[0])
    third = await app.submit(run_id=key)

    assert [first.created, second.created, third.created] == [True, False, False]
    assert {each.run.session_id for each in (first, second, third)} == {first.run.session_id}
    assert third.run.state is RunState.SUCCEEDED
    await app.check_answered_once(first.run)


async def test_the_same_key_many_times_at_once_is_one_run(app: App) -> None:
    """Twenty impatient callers get one run in one session."""
    key = new_id()
    accepted = await asyncio.gather(*(app.submit(run_id=key) for _ in range(20)))

    assert len({each.run.session_id for each in accepted}) == 1
    assert sum(each.created for each in accepted) == 1
    assert await count(app, CONVERSATIONS, "run!") == 1


@pytest.mark.parametrize("other", [{"query": "3 + 4"}, {"metadata": {"a": "b"}}, {"session_id": "chosen"}])
async def test_the_same_key_for_another_request_is_a_conflict(app: App, other: dict[str, object]) -> None:
    """A key stands for one request."""
    key = new_id()
    await app.submit(run_id=key)
    with pytest.raises(Conflict) as caught:
        await app.submit(run_id=key, **{"query": "2 + 3"} | other)  # type: ignore[arg-type]

    assert caught.value.code == "idempotency_conflict"
    assert await count(app, CONVERSATIONS, "run!") == 1


async def test_a_conflicting_key_leaves_the_other_session_open(app: App) -> None:
    """A key used again for another conversation is refused, and that conversation still keeps its agent."""
    key = new_id()
    await app.submit(run_id=key)
    await app.submit(session_id="other")
    with pytest.raises(Conflict):
        await app.submit(run_id=key, session_id="other")

    assert await app.tables.get(OPEN, "default!bot", "other") is not None


async def test_repeating_a_submission_leaves_no_open_session_behind(app: App) -> None:
    """The session that a repetition thought of, and did not need, keeps no agent from being retired."""
    key = new_id()
    for _ in range(5):
        await app.submit(run_id=key)

    assert await count(app, OPEN) == 1


@pytest.mark.parametrize("session_id", [None, "chosen"])
async def test_a_submission_survives_dying_at_any_write(session_id: str | None) -> None:
    """The caller repeats it with the same key: one run, one session with right counters, one answer."""
    number, died = 0, True
    while died:
        number, died = number + 1, False
        for after in (False, True):
            app, key = App(), new_id()
            await app.declare()
            dying = app.worker(fate := Fate(number, after))
            request = RunRequest(query="2 + 3", session_id=session_id)
            try:
                await dying.runs.submission.submit("default", "bot", request, key, app.signals, app.queue.send)
            except Crash:
                died = True
            dead = fate.dead
            await abandon(dying)
            accepted = await app.submit(run_id=key, session_id=session_id)
            assert dead == died or not after
            assert app.queue.sent[-1].run_id == key
            for message in app.queue.sent:
                await app.process(message)
            await app.check_answered_once(accepted.run)
            _, session = await app.stored(accepted.run)
            listed, _ = await app.services.conversations.directory.sessions(
                "default", agent="bot", user_id=None, limit=9, after=None
            )
            assert [entry.session_id for entry in listed if entry.is_of(session)] == [session.id]
            assert await app.tables.get(OPEN, "default!bot", session.id) is not None

    assert number > 4


async def test_an_unaccepted_message_fails_the_run(app: App) -> None:
    """It does not look as if it were waiting, and the error says to try again."""
    key = new_id()
    app.queue.refuse = True
    with pytest.raises(Unavailable):
        await app.submit(run_id=key)
    run = await app.services.runs.queries.get("default", key)
    _, session = await app.stored(run)

    assert (run.state, run.error and run.error.code) == (RunState.FAILED, "not_queued")
    assert session.pending == 0


async def test_a_run_that_was_not_queued_is_queued_when_submitted_again(app: App) -> None:
    """The same key makes it a run like any other, with all its attempts still to come."""
    key = new_id()
    app.queue.refuse = True
    with pytest.raises(Unavailable):
        await app.submit(run_id=key)
    app.queue.refuse = False
    again = await app.submit(run_id=key)
    _, session = await app.stored(again.run)
    assert (again.run.state, again.run.redriven, session.pending) == (RunState.QUEUED, 0, 1)
    await app.process(app.queue.sent[-1])

    await app.check_answered_once(again.run)


async def test_a_message_that_was_accepted_after_all_is_run(app: App) -> None:
    """The broker took the message though its answer was lost: what it delivers is run, not ignored."""
    key = new_id()
    kept = []

    async def send(submission: object) -> None:
        kept.append(submission)
        raise Unavailable

    with pytest.raises(Unavailable):
        await app.services.runs.submission.submit("default", "bot", RunRequest(query="2 + 3"), key, app.signals, send)
    await app.process(kept[0])

    await app.check_answered_once(await app.services.runs.queries.get("default", key))


async def test_an_unqueued_run_of_an_ended_session_stays_failed(app: App) -> None:
    """An ended session takes no more runs, not even one it knows."""
    key = new_id()
    app.queue.refuse = True
    with pytest.raises(Unavailable):
        await app.submit(run_id=key, session_id="chat")
    await app.services.sessions.end.end("default", "chat")
    app.queue.refuse = False
    with pytest.raises(Conflict) as caught:
        await app.submit(run_id=key, session_id="chat")

    assert caught.value.code == "session_ended"


async def test_a_disabled_or_unknown_agent_takes_no_runs(app: App) -> None:
    """Refused before anything is stored."""
    await app.services.agents.administration.switch("default", "bot", app.signals, enabled=False)
    with pytest.raises(Conflict, match="disabled"):
        await app.submit()
    with pytest.raises(NotFound):
        await app.submit(agent="nobody")

    assert await count(app, CONVERSATIONS) == 0


async def test_a_session_keeps_its_agent_and_its_user(app: App) -> None:
    """Another agent is a conflict; another user sees nothing; an ended session says so."""
    await app.declare("other")
    run = await app.ask(session_id="chat", user_id="ann")
    codes: list[str] = []
    for more in ({"agent": "other", "user_id": "ann"}, {"user_id": "bob"}, {}):
        with pytest.raises((Conflict, NotFound)) as caught:
            await app.submit("Hi", session_id="chat", **more)
        codes.append(caught.value.code)
    await app.services.sessions.end.end("default", "chat")
    with pytest.raises(Conflict) as ended:
        await app.submit("Hi", session_id="chat", user_id="ann")

    assert codes == ["session_agent_mismatch", "session_not_found", "session_not_found"]
    assert ended.value.code == "session_ended"
    assert (await app.stored(run))[1].runs == 1


async def test_starting_a_session_twice_is_one_session(app: App) -> None:
    """The same id returns the same session, and the list shows it once."""
    start, directory = app.services.sessions.start, app.services.conversations.directory
    first, new = await start.start("default", "bot", "chat", SessionOptions("ann"))
    app.clock.move(seconds=5)
    second, again = await start.start("default", "bot", "chat", SessionOptions("ann"))
    listed, after = await directory.sessions("default", agent=None, user_id=None, limit=10, after=None)

    assert first == second
    assert (new, again) == (True, False)
    assert ([entry.session_id for entry in listed], after) == (["chat"], None)
    assert listed[0].is_of(first)
    assert await count(app, OPEN) == 1


async def test_sessions_are_listed_newest_first_by_pages(app: App) -> None:
    """Every session once, over all shards, filtered by agent and user."""
    await app.declare("other")
    for number in range(25):
        app.clock.move(seconds=1)
        await app.services.sessions.start.start(
            "default", "bot" if number % 5 else "other", f"s{number}", SessionOptions("ann" if number % 2 else "bob")
        )
    seen: list[str] = []
    after: str | None = None
    while True:
        page, after = await app.services.conversations.directory.sessions(
            "default", agent=None, user_id=None, limit=4, after=after
        )
        seen += [entry.session_id for entry in page]
        if after is None:
            break
    of_ann, _ = await app.services.conversations.directory.sessions(
        "default", agent="other", user_id="ann", limit=9, after=None
    )

    assert seen == [f"s{number}" for number in reversed(range(25))]
    assert [entry.session_id for entry in of_ann] == ["s15", "s5"]


async def test_submitting_makes_a_new_agent_ready(app: App) -> None:
    """Provisioning starts with the submission, not with the run."""
    await app.submit()
    agent = await app.services.agents.catalog.get("default", "bot")

    assert agent.ready


async def test_what_is_too_large_to_be_stored_is_an_error_of_the_caller() -> None:
    """Not a defect of ours that is tried again and again."""
    app = App(SmallTables("run!"))
    await app.declare()

    with pytest.raises(TooLarge):
        await app.submit()


async def test_a_run_uses_the_declaration_it_was_submitted_under_or_a_newer_one(app: App) -> None:
    """A worker that has the old agent in its cache looks again."""
    await app.ask()
    worker = app.worker()
    await worker.agents.administration.declare("default", "bot", spec(simulate={"reply": "New."}), app.signals)
    run = await app.ask()

    assert run.answer == "New."


async def test_a_key_that_was_answered_stays_answered_when_its_agent_is_gone(app: App) -> None:
    """The same key returns the run, though a new one would be refused; another body under it is refused."""
    ident = new_id()
    run = await app.ask("Hi", run_id=ident)
    await app.services.agents.administration.delete("default", "bot", app.signals)

    again = await app.submit("Hi", run_id=ident)

    assert (again.run.id, again.run.answer, again.created) == (run.id, run.answer, False)
    with pytest.raises(NotFound):
        await app.submit("Something else", run_id=ident)


async def test_a_keyed_run_enters_the_same_session_however_often_it_dies() -> None:
    """The session that a run starts is named by the run, so no session is stored that no index knows."""
    for number, after in itertools.product(range(1, 7), (False, True)):
        app, key = App(), new_id()
        await app.declare()
        dying = app.worker(Fate(number, after))
        with contextlib.suppress(Crash):
            submission = dying.runs.submission
            await submission.submit("default", "bot", RunRequest(query="2"), key, app.signals, app.queue.send)
        await abandon(dying)
        app.clock.move(minutes=5)
        accepted = await app.submit("2", run_id=key)
        rows = every(app.tables, CONVERSATIONS, Span("0", partition_before="~"))
        stored = {row.partition for row in [row async for row in rows]}
        page, _ = await app.services.sessions.list.page("default", Filter(), 10, None)

        assert stored == {f"default!{accepted.run.session_id}"}
        assert [session.id for session in page] == [accepted.run.session_id]
        assert await app.tables.get(OPEN, "default!bot", accepted.run.session_id) is not None


async def test_a_session_that_never_came_to_be_keeps_no_agent(app: App) -> None:
    """Its entry counts for the hour in which it may yet come; then it is removed."""
    dying = app.worker(Fate(5))
    with pytest.raises(Crash):
        await dying.runs.submission.submit(
            "default", "bot", RunRequest(query="2", session_id="chat"), new_id(), app.signals, app.queue.send
        )
    await abandon(dying)
    assert (await app.services.conversations.store.load("default", "chat")).session is None
    before = await app.services.conversations.directory.has_open_session("default", "bot")
    app.clock.move(minutes=61)
    after = await app.services.conversations.directory.has_open_session("default", "bot")

    assert (before, after) == (True, False)
    assert await count(app, OPEN) == 0


async def test_a_session_that_a_run_started_lasts_no_longer_than_its_idle_agent() -> None:
    """One that the caller named lasts as long as sessions do."""
    app = App()
    await app.declare(declared=spec(idle_after_s=600))
    started = (await app.ask()).session_id
    await app.ask(session_id="named")
    app.clock.move(minutes=11)
    ended = await app.services.sessions.end.expire()
    states = [
        session.state
        for name in (started, "named")
        if (session := (await app.services.conversations.store.load("default", name)).session) is not None
    ]

    assert ended == 1
    assert states == ["ended", "active"]
