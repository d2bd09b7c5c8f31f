"""A run that is to be attempted again goes back to the queue: no worker waits for it, and nothing overtakes it."""

from __future__ import annotations

import contextlib
import itertools
from datetime import timedelta

import pytest

from kernel.errors import AppError
from lifecycle.conversations.run import Run, RunState
from tests.lifecycle.app import App, abandon
from tests.lifecycle.doubles import Crash, Fate, spec

THROTTLED = spec(simulate={"fail_first": 1, "fail_with": "throttled"})


async def deliver(app: App, since: int = 0) -> None:
    """Deliver every message from that one on, also those that are sent meanwhile, as the broker does: in order."""
    number = since
    while number < len(app.queue.sent):
        submission = app.queue.sent[number]
        for _ in range(5):
            try:
                await app.requeued(submission)
            except AppError:
                continue
            break
        number += 1


async def due(app: App) -> None:
    """Let the time come for what is scheduled, and deliver it."""
    since = len(app.queue.sent)
    app.queue.sent += [submission for _, submission in app.queue.scheduled]
    app.clock.now = max([app.clock.now, *(at for at, _ in app.queue.scheduled)])
    app.queue.scheduled.clear()
    await deliver(app, since)


async def states(app: App, *runs: Run) -> list[RunState]:
    return [(await app.stored(run))[0].state for run in runs]


async def test_the_message_is_scheduled_for_when_the_attempt_is_due() -> None:
    """The provider asked for a second; until then nothing of the run is at any worker."""
    app = App()
    await app.declare(declared=THROTTLED)
    accepted = await app.submit()
    run = await app.requeued(app.queue.sent[0])
    assert run is not None
    [(at, submission)] = app.queue.scheduled
    waiting, session = await app.stored(accepted.run)
    await due(app)
    done, after = await app.stored(accepted.run)

    assert (run.state, run.attempt, run.error and run.error.code) == (RunState.QUEUED, 1, "provider_throttled")
    assert at == waiting.dispatch.not_before == app.clock.now
    assert submission.run_id == accepted.run.id
    assert session.retry is not None
    assert (done.state, done.attempt, after.retry) == (RunState.SUCCEEDED, 2, None)
    await app.check_answered_once(accepted.run)
    assert [(fact.attempt, fact.ending) for fact in await app.attempts(done)] == [(1, "retried"), (2, "succeeded")]


async def test_what_comes_after_it_waits_and_keeps_its_order() -> None:
    """Of four runs the first is throttled: those queued before and submitted meanwhile follow it, in order."""
    app = App()
    await app.declare(declared=THROTTLED)
    runs = [(await app.submit(f"{n}", session_id="s")).run for n in range(3)]
    await app.requeued(app.queue.sent[0])
    await deliver(app, 1)
    runs.append((await app.submit("3", session_id="s")).run)
    between = await states(app, *runs)
    for _ in range(8):
        await due(app)
        await app.services.conversations.pause.finish(app.queue.send)
        await deliver(app, len(app.queue.sent))

    assert between == [RunState.QUEUED, RunState.WAITING, RunState.WAITING, RunState.WAITING]
    assert await states(app, *runs) == [RunState.SUCCEEDED] * 4
    assert [turn.text for turn in await app.turns(runs[0]) if turn.role == "user"] == ["0", "1", "2", "3"]


async def test_a_message_that_comes_early_is_scheduled_again() -> None:
    """The worker died after it had committed the retry: its own message finds the run not due yet."""
    app = App()
    await app.declare(declared=spec(simulate={"fail_first": 1, "fail_with": "throttled"}))
    accepted = await app.submit()
    await app.requeued(app.queue.sent[0])
    run, _ = await app.stored(accepted.run)
    assert run.dispatch.not_before is not None
    app.clock.now = run.dispatch.not_before - timedelta(seconds=5)
    app.queue.scheduled.clear()
    again = await app.requeued(app.queue.sent[0])

    assert again is not None
    assert (again.state, again.attempt) == (RunState.QUEUED, 1)
    assert [at for at, _ in app.queue.scheduled] == [run.dispatch.not_before]


async def test_a_message_that_was_lost_is_sent_by_the_timer() -> None:
    """The worker died in between, and the broker gave its message up."""
    app = App()
    await app.declare(declared=THROTTLED)
    accepted = await app.submit()
    await app.requeued(app.queue.sent[0])
    app.queue.scheduled.clear()
    since = len(app.queue.sent)
    await app.services.conversations.pause.finish(app.queue.send)
    early = len(app.queue.sent)
    app.clock.move(minutes=5)
    await app.services.conversations.pause.finish(app.queue.send)
    await deliver(app, since)

    assert early == since, "it is waited for first"
    assert await states(app, accepted.run) == [RunState.SUCCEEDED]


async def test_a_cancelled_retry_lets_the_others_go_on() -> None:
    """Nothing waits for what will not come."""
    app = App()
    await app.declare(declared=THROTTLED)
    first, second = [(await app.submit(f"{n}", session_id="s")).run for n in range(2)]
    await app.requeued(app.queue.sent[0])
    await deliver(app, 1)
    await app.services.runs.queries.cancel("default", first.id)
    since = len(app.queue.sent)
    await app.services.conversations.pause.finish(app.queue.send)
    await deliver(app, since)
    for _ in range(3):
        await due(app)

    assert await states(app, first, second) == [RunState.CANCELLED, RunState.SUCCEEDED]


@pytest.mark.parametrize("after", [False, True])
async def test_a_retry_survives_its_worker_dying_at_any_effect(after: bool) -> None:
    """The message is delivered again, what was scheduled is, and the timer comes by: one answer, each attempt once."""
    number = 0
    for number in itertools.count(1):
        app = App()
        await app.declare(declared=THROTTLED)
        runs = [(await app.submit(f"{n}", session_id="s")).run for n in range(2)]
        fate = Fate(number, after)
        worker = app.worker(fate)
        with contextlib.suppress(Crash):
            await app.requeued(app.queue.sent[0], worker=worker)
        await abandon(worker)
        if not fate.struck:
            break
        app.clock.move(seconds=61)
        await deliver(app)
        for _ in range(8):
            await due(app)
            app.clock.move(minutes=3)
            since = len(app.queue.sent)
            await app.services.conversations.pause.finish(app.queue.send)
            await deliver(app, since)

        assert await states(app, *runs) == [RunState.SUCCEEDED] * 2, number
        assert [turn.text for turn in await app.turns(runs[0]) if turn.role == "user"] == ["0", "1"], number
        facts = await app.attempts(runs[0])
        assert len({fact.attempt for fact in facts}) == len(facts)
        assert facts[-1].ending == "succeeded"
        await app.aclose()

    assert number > 4


@pytest.mark.parametrize("after", [False, True])
async def test_what_follows_does_not_overtake_a_next_attempt_whose_worker_dies_at_any_effect(after: bool) -> None:
    """Also while what was kept is being queued: some of it is on the queue already."""
    number = 0
    for number in itertools.count(1):
        app = App()
        await app.declare(declared=THROTTLED)
        runs = [(await app.submit(f"{n}", session_id="s")).run for n in range(4)]
        await app.requeued(app.queue.sent[0])
        await deliver(app, 1)
        [(at, submission)] = app.queue.scheduled
        app.queue.scheduled.clear()
        app.clock.now = max(app.clock.now, at)
        fate = Fate(number, after)
        worker, since = app.worker(fate), len(app.queue.sent)
        with contextlib.suppress(Crash):
            await app.requeued(submission, worker=worker)
        await abandon(worker)
        if not fate.struck:
            break
        app.clock.move(seconds=61)
        app.queue.sent.insert(since, submission)  # the broker has it still, before what was sent since
        await deliver(app, since)
        for _ in range(8):
            await due(app)
            app.clock.move(minutes=3)
            since = len(app.queue.sent)
            await app.services.conversations.pause.finish(app.queue.send)
            await deliver(app, since)

        assert await states(app, *runs) == [RunState.SUCCEEDED] * 4, number
        assert [turn.text for turn in await app.turns(runs[0]) if turn.role == "user"] == ["0", "1", "2", "3"], number
        await app.aclose()

    assert number > 8
