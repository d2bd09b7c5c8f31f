"""Pausing and resuming: what comes meanwhile is kept and answered in order, wherever a process dies."""

from __future__ import annotations

import contextlib
import itertools
from functools import partial

import pytest

from kernel.errors import AppError, Conflict, NotFound, Unavailable
from lifecycle.conversations.run import Run
from lifecycle.conversations.run_request import Submission
from lifecycle.conversations.session import Limits, SessionState
from lifecycle.sessions.start import SessionOptions
from tests.lifecycle.app import App
from tests.lifecycle.doubles import Crash, Fate, spec


@pytest.fixture
async def app() -> App:
    app = App()
    await app.declare()
    return app


async def pause(app: App) -> None:
    await app.services.conversations.pause.pause("default", "chat")


async def resume(app: App) -> None:
    await app.services.conversations.pause.resume("default", "chat", app.queue.send)


async def deliver(app: App) -> None:
    """Deliver everything that is on the queue, in order, each until it was taken."""
    while app.queue.sent:
        message = app.queue.sent.pop(0)
        for _ in range(5):
            with contextlib.suppress(Unavailable):
                await app.process(message)
                break


async def struck_send(app: App, fate: Fate, message: Submission) -> None:
    await fate.effect(lambda: app.queue.send(message))


async def asked(app: App, run: Run) -> list[str]:
    """Return the user's messages in the history, in order."""
    return [turn.text for turn in await app.turns(run) if turn.role == "user"]


async def test_a_paused_session_keeps_its_runs_and_answers_them_in_order(app: App) -> None:
    """Those on the queue when it was paused, and those that came later; none is tried meanwhile."""
    early = [(await app.submit(f"Q{n}", session_id="chat")).run for n in range(3)]
    await pause(app)
    late = [(await app.submit(f"Q{n}", session_id="chat")).run for n in range(3, 5)]
    assert len(app.queue.sent) == 3, "a run of a paused session needs no message"
    await deliver(app)
    kept = [(await app.stored(run))[0] for run in [*early, *late]]
    assert {(run.state, run.attempt) for run in kept} == {("waiting", 0)}
    assert await asked(app, early[0]) == []

    await resume(app)
    await deliver(app)
    _, session = await app.stored(early[0])

    assert await asked(app, early[0]) == [f"Q{n}" for n in range(5)]
    assert (session.state, session.pending, session.resuming, session.turns) == ("active", 0, False, 10)
    assert len(await app.lines(early[0])) == 1


async def test_a_run_cannot_get_ahead_of_one_that_was_kept(app: App) -> None:
    """Paused and resumed between two messages: the second waits for the first one's new message."""
    first = (await app.submit("Q0", session_id="chat")).run
    await app.submit("Q1", session_id="chat")
    await pause(app)
    await app.process(app.queue.sent.pop(0))
    await resume(app)
    await app.submit("Q2", session_id="chat")
    queries = [(await app.services.runs.queries.get("default", message.run_id)).query for message in app.queue.sent]
    assert queries == ["Q1", "Q0", "Q1", "Q2"]
    await deliver(app)

    assert await asked(app, first) == ["Q0", "Q1", "Q2"]


async def test_the_run_under_way_is_finished(app: App) -> None:
    """A pause stops nothing in the middle."""
    accepted, working, gate = await app.held()
    session_id = accepted.run.session_id
    await app.services.conversations.pause.pause("default", session_id)
    gate.open.set()
    run = await working
    _, session = await app.stored(accepted.run)

    assert (run.state, session.state, session.pause_reason) == ("succeeded", "paused", "operator")
    resumed = await app.services.conversations.pause.resume("default", session_id, app.queue.send)
    assert (resumed.state, resumed.pause_reason) == ("active", None)


async def test_a_failed_attempt_of_a_paused_session_waits(app: App) -> None:
    """It is not tried again until the session goes on."""
    await app.declare("shaky", spec(simulate={"fail_first": 1}))
    accepted = await app.submit("Q0", session_id="chat", agent="shaky")
    with pytest.raises(Unavailable):
        await app.process(app.queue.sent[-1])
    await pause(app)
    await deliver(app)
    waiting, _ = await app.stored(accepted.run)
    await resume(app)
    await deliver(app)
    run, _ = await app.stored(accepted.run)

    assert (waiting.state, waiting.attempt) == ("waiting", 1)
    assert (run.state, run.attempt) == ("succeeded", 2)


async def test_a_kept_run_is_cancelled_at_once(app: App) -> None:
    """And is not queued by the resumption."""
    await app.submit("Q0", session_id="chat")
    await pause(app)
    kept = await app.submit("Q1", session_id="chat")
    cancelled = await app.services.runs.queries.cancel("default", kept.run.id)
    await deliver(app)
    await resume(app)
    await deliver(app)
    _, session = await app.stored(kept.run)

    assert cancelled.state == "cancelled"
    assert await asked(app, kept.run) == ["Q0"]
    assert session.pending == 0


async def test_pausing_and_resuming_again_changes_nothing(app: App) -> None:
    """Each is told once."""
    run = await app.ask("Q0", session_id="chat")
    for _ in range(2):
        await pause(app)
    for _ in range(2):
        await resume(app)
    names = [name for name in await app.event_names(run) if name.startswith("session.")]

    assert names[-2:] == ["session.state_changed paused", "session.state_changed active"]
    assert len(names) == 4


async def test_what_cannot_be_paused(app: App) -> None:
    """A session that has ended, and one that is not there."""
    await app.ask("Q0", session_id="chat")
    await app.services.sessions.end.end("default", "chat")
    for call in (pause, resume):
        with pytest.raises(Conflict) as caught:
            await call(app)
        assert caught.value.code == "session_ended"
    with pytest.raises(NotFound):
        await app.services.conversations.pause.pause("default", "nothing")
    with pytest.raises(NotFound):
        await app.services.conversations.pause.pause("other", "chat")


async def test_a_session_is_paused_by_its_own_limit_of_failures(app: App) -> None:
    """So many in a row; what is behind them is kept until somebody has looked."""
    await app.declare("bad", spec(simulate={"fail_first": 9, "fail_with": "rejected"}))
    await app.services.sessions.start.start("default", "bad", "chat", SessionOptions(limits=Limits(max_failures=2)))
    runs = [(await app.submit(f"Q{n}", session_id="chat", agent="bad")).run for n in range(3)]
    await deliver(app)
    states = [(await app.stored(run))[0].state for run in runs]
    _, session = await app.stored(runs[0])

    assert states == ["failed", "failed", "waiting"]
    assert (session.state, session.pause_reason, session.failures) == ("paused", "failing", 2)
    await resume(app)
    assert (await app.stored(runs[0]))[1].failures == 0


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_resumption_that_was_cut_short_is_finished(after: bool) -> None:
    """Dead at any write or message: the timer goes on, runs are answered once and in order, late ones after them."""
    number = 0
    for number in itertools.count(1):
        app = App()
        await app.declare()
        first = (await app.submit("Q0", session_id="chat")).run
        await app.submit("Q1", session_id="chat")
        await pause(app)
        await app.submit("Q2", session_id="chat")
        await app.process(app.queue.sent.pop(0))
        fate = Fate(number, after)
        dying = app.worker(fate)
        with contextlib.suppress(Crash):
            await dying.conversations.pause.resume("default", "chat", partial(struck_send, app, fate))
        died = fate.dead
        with contextlib.suppress(Crash):
            await dying.conversations.publisher.aclose()
        late = await app.submit("Q3", session_id="chat")
        await deliver(app)
        await app.services.conversations.pause.finish(app.queue.send)
        if (await app.stored(first))[1].state is SessionState.PAUSED:
            await resume(app)
        await deliver(app)
        _, session = await app.stored(first)

        assert await asked(app, first) == ["Q0", "Q1", "Q2", "Q3"], number
        assert (session.pending, session.resuming) == (0, False)
        assert (await app.stored(late.run))[0].spend.calls == 1
        if not died:
            break

    assert number > 8, "index, session, three messages and their runs, the end"


async def test_the_broker_being_away_leaves_a_resumption_to_be_finished(app: App) -> None:
    """The caller is told; the same call, or the timer, goes on from there."""
    await app.submit("Q0", session_id="chat")
    await pause(app)
    await deliver(app)
    app.queue.refuse = True
    with pytest.raises(AppError) as caught:
        await resume(app)
    late = await app.submit("Q1", session_id="chat")
    app.queue.refuse = False
    assert (await app.stored(late.run))[0].state == "waiting", "or it would get ahead"
    await app.services.conversations.pause.finish(app.queue.send)
    await deliver(app)

    assert caught.value.code == "queue_unavailable"
    assert await asked(app, late.run) == ["Q0", "Q1"]


async def test_a_redelivered_message_of_a_kept_run_is_no_second_run(app: App) -> None:
    """Its completion was lost: it comes again after the run was answered by another message, or before."""
    accepted = await app.submit("Q0", session_id="chat")
    old = app.queue.sent[0]
    await pause(app)
    await deliver(app)
    await app.process(old)
    await resume(app)
    await app.process(old)
    assert (await app.stored(accepted.run))[0].state == "queued"
    await deliver(app)
    await app.process(old)

    assert await asked(app, accepted.run) == ["Q0"]
    assert len(await app.lines(accepted.run)) == 1


async def test_a_dead_letter_is_redriven_into_a_session_that_was_resumed(app: App) -> None:
    """It counts as the latest message of its run, whatever it was sent by."""
    await app.declare("bad", spec(simulate={"fail_first": 1, "fail_with": "rejected"}))
    accepted = await app.submit("Q0", session_id="chat", agent="bad")
    old = app.queue.sent[0]
    await pause(app)
    await deliver(app)
    await resume(app)
    await deliver(app)
    letter = app.queue.bury(old)
    await app.services.runs.dead_letters(app.queue).redrive("default", str(letter))
    [(message, _)] = app.queue.redriven
    await app.process(message)

    assert (await app.stored(accepted.run))[0].state == "succeeded"


async def test_the_dead_letters_of_a_kept_run_do_not_fail_it(app: App) -> None:
    """Its message died after the run was kept, or was overtaken: the run goes on without it."""
    accepted = await app.submit("Q0", session_id="chat")
    app.queue.bury(app.queue.sent[0])
    await pause(app)
    await deliver(app)
    assert await app.services.runs.dead_letters(app.queue).account() == 0
    await resume(app)
    assert await app.services.runs.dead_letters(app.queue).account() == 0
    await deliver(app)

    assert await asked(app, accepted.run) == ["Q0"]
