"""Running runs: one answer each, however often they are delivered; every model call paid for once."""

from __future__ import annotations

import asyncio

import pytest

from kernel.errors import AppError, Conflict, InternalError, InvalidInput, NotFound, Unavailable
from kernel.ids import new_id
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.run_request import Submission
from lifecycle.runs.retries import retry_delay_s
from llmops.spend.usage import Spend
from tests.lifecycle.app import TOOLED, App, Gate
from tests.lifecycle.doubles import Fate, SmallTables, spec
from tests.waiting import QUIET_S, eventually


async def take_over(app: App) -> tuple[asyncio.Task[Run], Gate]:
    """Return a second worker at the last run, its model call held, and the gate that holds it."""
    gate = Gate()
    working = asyncio.create_task(app.process(app.queue.sent[-1], worker=app.worker(gate=gate)))
    await gate.entered.wait()
    return working, gate


async def test_a_run_is_answered_and_accounted_for() -> None:
    """One answer, one pair of turns, a ledger line per model call, scored and priced."""
    app = App()
    await app.declare(declared=TOOLED)
    run = await app.ask("2 + 3", expected_topics=("calculator", "nothing"), user_id="ann")
    lines = await app.lines(run)

    await app.check_answered_once(run)
    assert [(line.attempt, line.call) for line in lines] == [(1, 1), (1, 2)]
    assert {(line.provider, line.model) for line in lines} == {("offline", "gpt-4o-mini")}
    (kept,) = await app.facts(run)
    assert (kept.fact.who.user_id, kept.fact.spend, kept.fact.score) == ("ann", run.spend, run.score)
    assert run.spend.cost_micro_usd > 0
    assert run.wasted == Spend()
    assert run.score is not None
    assert run.score.parts == {"answered": 100, "complete": 100, "topics": 50}
    assert (run.model, run.version) == ("gpt-4o-mini", "1")
    assert await app.event_names(run) == [
        "session.state_changed started",
        "run.queued",
        "run.stage INITIALIZING",
        "run.stage RUNNING",
        "run.stage EVALUATING",
        "run.stage COMPLETED",
        "session.state_changed active",
    ]


async def test_a_duplicate_delivery_finds_the_answer() -> None:
    """Later deliveries of an answered run do nothing and return it."""
    app = App()
    await app.declare()
    run = await app.ask()
    again = await app.process(app.queue.sent[0], worker=app.worker())

    assert again == run
    await app.check_answered_once(run)
    assert len(await app.lines(run)) == 1


async def test_concurrent_deliveries_give_one_answer() -> None:
    """Eight workers get the same message at once: one runs it, the others wait for its answer."""
    app = App()
    await app.declare(declared=spec(simulate={"latency_ms": 40}))
    accepted = await app.submit()
    runs = await asyncio.gather(*(app.process(app.queue.sent[0], worker=app.worker()) for _ in range(8)))

    assert len({run.answer for run in runs}) == 1
    assert len(await app.lines(accepted.run)) == 1
    await app.check_answered_once(accepted.run)


async def test_a_busy_run_is_delivered_again_after_a_while() -> None:
    """Two leases without an end are waited for, no more."""
    app = App()
    await app.declare()
    accepted, first, gate = await app.held()
    second = asyncio.create_task(app.process(app.queue.sent[0], worker=app.worker()))
    for _ in range(6):
        app.clock.move(seconds=25)
        await app.renewed(accepted.run)
    with pytest.raises(Unavailable) as caught:
        await second
    gate.open.set()

    assert caught.value.code == "run_busy"
    await app.check_answered_once(await first)


async def test_a_sign_of_life_keeps_the_lease() -> None:
    """A long model call outlives its first lease, because the worker renews it."""
    app = App()
    await app.declare()
    accepted, working, gate = await app.held()
    for _ in range(3):
        app.clock.move(seconds=30)
        await asyncio.wait_for(app.renewed(accepted.run), QUIET_S)
    gate.open.set()

    assert (await working).attempt == 1
    await app.check_answered_once(accepted.run)


async def test_an_answer_that_comes_after_the_lease_is_discarded() -> None:
    """A stalled worker's run was taken over: it notices before it calls the model, and what it did is recorded."""
    app = App(RUN_LOOK_EVERY_S=5)
    await app.declare()
    accepted, stalled, gate = await app.held()
    app.clock.move(seconds=61)
    second, second_gate = await take_over(app)
    gate.open.set()
    late = await stalled
    second_gate.open.set()
    done = await second

    assert (late.attempt, late.answer) == (2, None), "what the late worker returns is the run as the other one has it"
    assert done.attempt == 2
    assert [(fact.attempt, fact.ending, fact.code) for fact in await app.attempts(accepted.run)] == [
        (1, "retried", "worker_lost"),
        (2, "succeeded", ""),
    ]
    assert [line.attempt for line in await app.lines(accepted.run)] == [2]
    await app.check_answered_once(accepted.run)


async def test_a_failed_attempt_that_lost_its_run_says_nothing() -> None:
    """It must not fail, or requeue, what another worker is running."""
    app = App(RUN_LOOK_EVERY_S=5)
    await app.declare(declared=spec(simulate={"fail_first": 1, "fail_with": "rejected"}))
    accepted, stalled, gate = await app.held()
    app.clock.move(seconds=61)
    second, second_gate = await take_over(app)
    gate.open.set()
    late = await stalled
    second_gate.open.set()
    await second

    assert (late.attempt, late.state) == (2, RunState.RUNNING)
    await app.check_answered_once(accepted.run)


async def test_a_passing_failure_is_tried_again() -> None:
    """The run goes back to the queue with why, the delivery is refused, and what it cost is shown apart."""
    app = App()
    await app.declare(declared=spec(simulate={"fail_first": 2, "fail_with": "throttled"}))
    accepted = await app.submit()
    started = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable) as caught:
        await asyncio.wait_for(app.process(app.queue.sent[0]), QUIET_S)
    waited = asyncio.get_running_loop().time() - started
    run, session = await app.stored(accepted.run)

    assert caught.value.code == "provider_throttled"
    assert waited >= 1, "the provider asked for a second"
    assert (run.state, run.attempt, run.error and run.error.code) == (RunState.QUEUED, 1, "provider_throttled")
    assert session.pending == 1
    assert "run.retrying" in await app.event_names(run)


async def test_attempts_are_counted_and_the_last_one_fails_the_run() -> None:
    """It is failed and raised, so that the message becomes a dead letter."""
    app = App(RUN_MAX_ATTEMPTS=3)
    await app.declare(declared=spec(simulate={"fail_first": 9}))
    accepted = await app.submit()
    states: list[tuple[str, int]] = []
    for _ in range(3):
        with pytest.raises(Unavailable):
            await app.process(app.queue.sent[0])
        run, _ = await app.stored(accepted.run)
        states.append((run.state, run.attempt))
    run, session = await app.stored(accepted.run)

    assert states == [("queued", 1), ("queued", 2), ("failed", 3)]
    assert run.error is not None
    assert (run.error.code, session.pending, session.turns) == ("provider_unavailable", 0, 0)
    assert (await app.process(app.queue.sent[0])).state is RunState.FAILED


async def test_the_last_delivery_is_the_last_attempt() -> None:
    """When the queue will not deliver again, waiting for a next attempt would lose the run."""
    app = App()
    await app.declare(declared=spec(simulate={"fail_first": 9}))
    accepted = await app.submit()
    with pytest.raises(Unavailable):
        await app.process(app.queue.sent[0], last=True)

    assert (await app.stored(accepted.run))[0].state is RunState.FAILED


async def test_a_refusal_fails_the_run_and_is_not_raised() -> None:
    """There is nothing to deliver again."""
    app = App()
    await app.declare(declared=spec(simulate={"fail_first": 9, "fail_with": "content_filter"}))
    run = await app.ask()

    assert (run.state, run.attempt, run.error and run.error.code) == (RunState.FAILED, 1, "content_filter")
    assert (await app.stored(run))[1].pending == 0


async def test_what_wasted_attempts_cost_is_part_of_the_spend() -> None:
    """An attempt that dies after its model call has spent what it has spent."""
    app = App()
    await app.declare()
    accepted = await app.submit()
    with pytest.raises(Unavailable):
        await app.process(app.queue.sent[0], worker=app.worker(model=Fate(1, after=True, error=Unavailable)))
    run = await app.process(app.queue.sent[0])

    assert run.wasted.calls == 1
    assert run.spend.calls == 2
    await app.check_answered_once(accepted.run)


async def test_an_attempt_has_a_time_limit() -> None:
    """A model that never answers is given up and tried again."""
    app = App(RUN_TIMEOUT_S=0.05)
    await app.declare(declared=spec(simulate={"latency_ms": 5000}))
    accepted = await app.submit()
    with pytest.raises(Unavailable) as caught:
        await app.process(app.queue.sent[0])

    assert caught.value.code == "run_timeout"
    assert (await app.stored(accepted.run))[0].state is RunState.QUEUED


async def test_a_defect_is_recorded_without_its_text() -> None:
    """An unexpected exception is retried as if it were passing; what it said is not told."""
    app = App()
    await app.declare()
    accepted = await app.submit()
    with pytest.raises(InternalError):
        await app.process(app.queue.sent[0], worker=app.worker(model=Fate(1, error=SecretError)))
    run, _ = await app.stored(accepted.run)

    assert run.error is not None
    assert run.error.code == "internal_error"
    assert "SECRET" not in run.error.detail


class SecretError(Exception):
    def __str__(self) -> str:
        return "SECRET"


async def test_the_next_run_of_a_session_knows_the_one_before() -> None:
    """The history is given to the model, in order."""
    app = App()
    await app.declare()
    first = await app.ask("Remember the number seven.", session_id="chat")
    app.services.agents.resolver.forget("default", "bot")
    second = await app.ask("Which number was it?", session_id="chat")

    assert "in turn 1" in (first.answer or "")
    assert "the turn before began 'Remember the number'" in (second.answer or "")
    assert [turn.role for turn in await app.turns(second)] == ["user", "assistant"] * 2


@pytest.mark.parametrize(("limit", "turn"), [(0, 1), (2, 2), (4, 3), (40, 4)])
async def test_the_history_is_limited(limit: int, turn: int) -> None:
    """The model is given at most so many messages, the latest ones; none at all is a limit too."""
    app = App(HISTORY_TURNS=limit)
    await app.declare()
    for number in range(3):
        await app.ask(f"Message {number}", session_id="chat")
    run = await app.ask("Message 3", session_id="chat")

    assert f"in turn {turn}" in (run.answer or "")


async def test_a_run_of_another_producer_is_stored_first() -> None:
    """A message that nobody submitted here becomes a run like any other."""
    app = App()
    await app.declare()
    message = Submission(agent="bot", query="Hi", run_id=new_id(), session_id="theirs")
    run = await app.process(message)
    again = await app.process(message)

    assert again == run
    await app.check_answered_once(run)
    assert await app.services.runs.queries.get("default", message.run_id) == run


async def test_a_message_for_nobody_is_an_error_that_stays() -> None:
    """An unknown agent is not found, however often it is delivered."""
    app = App()
    with pytest.raises(NotFound):
        await app.process(Submission(agent="bot", query="Hi", run_id=new_id(), session_id="theirs"))


async def test_a_run_id_stands_for_one_request() -> None:
    """Used again with another query or session, the message is refused and the run is untouched."""
    app = App()
    await app.declare()
    run = await app.ask("One", session_id="chat")
    errors: list[type[AppError]] = []
    for change in ({"query": "Two"}, {"session_id": "other"}):
        message = app.queue.sent[0].model_copy(update=change)
        with pytest.raises((InvalidInput, Conflict)) as caught:
            await app.process(message)
        errors.append(type(caught.value))

    assert errors == [InvalidInput, InvalidInput]
    await app.check_answered_once(run)


async def test_a_disabled_agent_runs_nothing_that_was_queued() -> None:
    """What waits when the kill switch is thrown fails with a reason."""
    app = App()
    await app.declare()
    await app.submit()
    await app.services.agents.administration.switch("default", "bot", app.signals, enabled=False)
    run = await app.process(app.queue.sent[0])

    assert (run.state, run.error and run.error.code) == (RunState.FAILED, "agent_disabled")


async def test_a_queued_run_is_cancelled_at_once() -> None:
    """Its message, when it comes, finds nothing to do."""
    app = App()
    await app.declare()
    accepted = await app.submit()
    cancelled = await app.services.runs.queries.cancel("default", accepted.run.id)
    run = await app.process(app.queue.sent[0])
    _, session = await app.stored(run)

    assert cancelled == run
    assert (run.state, session.pending, session.turns) == (RunState.CANCELLED, 0, 0)
    assert await app.lines(run) == []


async def test_a_running_run_is_cancelled_soon() -> None:
    """The model call is stopped at the next look."""
    app = App()
    await app.declare()
    accepted, working, _ = await app.held()
    asked = await app.services.runs.queries.cancel("default", accepted.run.id)
    run = await asyncio.wait_for(working, QUIET_S)
    _, session = await app.stored(run)

    assert (asked.state, asked.cancel_requested) == (RunState.RUNNING, True)
    assert (run.state, session.pending, session.turns) == (RunState.CANCELLED, 0, 0)


async def test_a_cancellation_that_was_accepted_wins_over_the_answer() -> None:
    """The answer comes before the next look; the caller was told that it is cancelled, so it is."""
    app = App(RUN_LOOK_EVERY_S=5)
    await app.declare()
    accepted, working, gate = await app.held()
    await app.services.runs.queries.cancel("default", accepted.run.id)
    gate.open.set()
    run = await working
    _, session = await app.stored(run)

    assert (run.state, run.answer, run.score, run.model) == (RunState.CANCELLED, None, None, None)
    assert (session.pending, session.turns) == (0, 0)
    assert run.spend == run.wasted == session.spend
    assert run.spend.calls == 1


@pytest.mark.parametrize("fail_with", ["unavailable", "rejected"])
async def test_a_cancellation_that_was_accepted_wins_over_a_failure(fail_with: str) -> None:
    """It is neither tried again nor failed."""
    app = App(RUN_LOOK_EVERY_S=5)
    await app.declare(declared=spec(simulate={"fail_first": 9, "fail_with": fail_with}))
    accepted, working, gate = await app.held()
    await app.services.runs.queries.cancel("default", accepted.run.id)
    gate.open.set()

    assert (await working).state is RunState.CANCELLED
    assert (await app.stored(accepted.run))[1].pending == 0


async def test_a_cancelled_run_of_a_dead_worker_is_not_started_again() -> None:
    """The next delivery cancels it instead."""
    app = App()
    await app.declare()
    accepted, working, _ = await app.held()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await app.services.runs.queries.cancel("default", accepted.run.id)
    app.clock.move(seconds=61)
    run = await app.process(app.queue.sent[0])

    assert (run.state, run.attempt) == (RunState.CANCELLED, 1)


async def test_a_finished_run_cannot_be_cancelled() -> None:
    """It stays as it is, and asking is no error."""
    app = App()
    await app.declare()
    run = await app.ask()

    assert await app.services.runs.queries.cancel("default", run.id) == run
    with pytest.raises(NotFound):
        await app.services.runs.queries.cancel("default", new_id())


async def test_a_worker_that_is_stopped_leaves_the_run_to_the_next() -> None:
    """Nothing is recorded; when the lease has run out the run is taken over."""
    app = App()
    await app.declare()
    accepted, working, _ = await app.held()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert (await app.stored(accepted.run))[0].state is RunState.RUNNING
    app.clock.move(seconds=61)
    run = await app.process(app.queue.sent[0])

    assert run.attempt == 2
    await app.check_answered_once(run)


async def test_a_run_shows_the_stage_that_was_told() -> None:
    """While its model works it is RUNNING, in its row as in its events; where the worker has the agent at hand, too."""
    app = App(RUN_LOOK_EVERY_S=0.01)
    await app.declare()
    gate = Gate()
    worker = app.worker(gate=gate)

    async def running(run_id: str) -> Run | None:
        run = await app.services.runs.queries.get("default", run_id)
        return run if run.stage == "RUNNING" else None

    for _ in range(2):
        accepted = await app.submit()
        gate.entered.clear()
        gate.open.clear()
        working = asyncio.create_task(app.process(app.queue.sent[-1], worker=worker))
        await gate.entered.wait()
        shown = await eventually(lambda run_id=accepted.run.id: running(run_id), what="the stage")
        assert shown is not None
        told = [name for name in await app.event_names(shown) if name.startswith("run.stage")]
        gate.open.set()
        await working

        assert shown.state is RunState.RUNNING
        assert told == ["run.stage INITIALIZING", "run.stage RUNNING"]


async def test_stages_are_written_once_each() -> None:
    """However the looks fall, no stage is told twice."""
    for latency in range(15, 45, 3):
        app = App(RUN_LOOK_EVERY_S=0.01)
        await app.declare(declared=spec(simulate={"latency_ms": latency}))
        run = await app.ask()
        stages = [name for name in await app.event_names(run) if name.startswith("run.stage")]

        assert stages == [f"run.stage {stage}" for stage in ("INITIALIZING", "RUNNING", "EVALUATING", "COMPLETED")]


async def test_an_answer_too_large_to_be_stored_fails_the_run_for_good() -> None:
    """Asking again would cost again and end the same way."""
    app = App(SmallTables("turn!"))
    await app.declare()
    run = await app.ask()

    assert (run.state, run.error and run.error.code, run.attempt) == (RunState.FAILED, "too_large", 1)
    assert run.spend.calls == 1


@pytest.mark.parametrize(
    ("attempt", "asked", "expected"),
    [(1, None, 1), (2, None, 2), (3, 9, 9), (9, None, 30), (-3, None, 1), (1, 99, 99), (1, 999, 300)],
)
def test_waits_between_attempts_double(attempt: int, asked: float | None, expected: float) -> None:
    """From the base up to half a minute, or as the provider asked, within the limit that is set."""
    assert retry_delay_s(attempt, 1, asked, 300) == expected


class Crowd(Gate):
    """Holds model calls until so many have come."""

    missing = 30

    async def passed(self) -> None:
        self.missing -= 1
        if not self.missing:
            self.open.set()
        await super().passed()


async def test_runs_of_many_sessions_go_on_at_once() -> None:
    """A worker serves many conversations, each with its own history and one answer per run."""
    app, crowd = App(), Crowd()
    await app.declare()
    worker = app.worker(gate=crowd)
    for number in range(Crowd.missing):
        await app.submit(f"Question {number}", session_id=f"s{number}")
    runs = await asyncio.wait_for(
        asyncio.gather(*(app.process(message, worker=worker) for message in app.queue.sent)), QUIET_S
    )

    for run in runs:
        await app.check_answered_once(run)
