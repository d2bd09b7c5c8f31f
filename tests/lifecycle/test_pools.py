"""Runs of agents that share a pool: what finds no room is put back, refused or spills over, and nothing is lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from lifecycle.conversations.run import Run, RunState
from llmops.capacity.admission import AdmissionRequest
from llmops.capacity.pool_usage import PoolUsage
from llmops.capacity.pools import Limits, Pool, PoolFull, PoolRefused, Share
from llmops.capacity.session_limit import SessionsFull
from tests.lifecycle.app import TOOLED, App, Gate
from tests.lifecycle.doubles import spec


async def app_with(*pools: Pool, **settings: Any) -> App:
    app = App(POOL_WAIT_S=0.1, BUDGET_TRUST_S=1000, RECORD_USE_EVERY_S=1000, **settings)
    for pool in pools:
        await app.services.capacity.pools.put("default", pool, None)
    await app.declare()
    return app


async def deliver(app: App) -> Run:
    """Deliver what was sent last as the trigger does; a run without room goes back to the queue."""
    run = await app.requeued(app.queue.sent[-1])
    assert run is not None
    return run


async def when_due(app: App) -> Run:
    """Let the time come for the run that was put back, and deliver it."""
    [(at, submission)] = app.queue.scheduled
    app.queue.scheduled.clear()
    app.clock.now = max(app.clock.now, at)
    app.queue.sent.append(submission)
    return await deliver(app)


async def slot(app: App) -> None:
    """Take a slot of the agent's pool at a worker that is never heard of again."""
    room = await app.worker().capacity.admission.admission(AdmissionRequest("default", "bot"))
    assert room is not None
    await room.enter()


async def usage(app: App, pool: str = "p") -> PoolUsage:
    """Return how much of the pool is used once this worker has accounted for everything."""
    await app.services.capacity.admission.aclose()
    return await app.services.capacity.usage.read("default", pool)


async def test_a_run_takes_of_its_pool_and_accounts_for_what_it_really_took() -> None:
    """Its estimate was much higher; its slot is given back."""
    app = await app_with(Pool("p", agents=("bot",), limits=Limits(tokens_per_minute=100_000, concurrent_runs=2)))

    run = await app.ask()
    used = await usage(app)

    assert run.state is RunState.SUCCEEDED
    assert used.taken.runs == 0
    assert used.taken.tokens == run.spend.input_tokens + run.spend.output_tokens


async def test_an_agent_of_no_pool_takes_of_none() -> None:
    app = await app_with(Pool("p", agents=("other",), limits=Limits(requests_per_minute=1)))

    runs = [await app.ask() for _ in range(3)]

    assert [run.state for run in runs] == [RunState.SUCCEEDED] * 3
    assert (await usage(app)).taken.requests == 0


async def test_an_agent_is_in_a_pool_by_its_labels() -> None:
    app = await app_with(Pool("p", labels={"team": "sales"}, limits=Limits(requests_per_minute=10)))
    await app.declare("seller", spec(labels={"team": "sales", "tier": "1"}))

    await app.ask()
    await app.ask(agent="seller")

    assert (await usage(app)).taken.requests == 1


async def test_a_run_without_room_is_put_back_and_comes_when_there_is() -> None:
    """That is no attempt that failed; the event says when there may be room."""
    app = await app_with(Pool("p", agents=("bot",), limits=Limits(requests_per_minute=1)))
    await app.submit()
    await deliver(app)
    waiting = (await app.submit()).run
    await deliver(app)
    stored, session = await app.stored(waiting)
    events = await app.services.conversations.store.events("default", waiting.session_id, 0, 1000)
    app.clock.move(seconds=62)
    done = await when_due(app)

    assert (stored.state, stored.error and stored.error.code) == (RunState.QUEUED, "pool_full")
    assert session.retry is not None
    told = [event.data for _, event in events if event.name == "pool.waiting"]
    assert [(data["pool"], 1 <= data["expected_wait_s"] <= 62) for data in told] == [("p", True)]
    assert (done.state, done.dispatch.uncounted) == (RunState.SUCCEEDED, 1)
    await app.check_answered_once(waiting)


async def test_a_run_that_finds_no_room_on_its_way_goes_on_from_there() -> None:
    """Its first call and its tool are not repeated: nothing is wasted."""
    app = await app_with(Pool("p", agents=("bot",), limits=Limits(requests_per_minute=1)))
    await app.declare(declared=TOOLED)
    run = (await app.submit()).run
    await deliver(app)
    between, _ = await app.stored(run)
    app.clock.move(seconds=62)
    done = await when_due(app)

    assert (between.state, between.spend.calls) == (RunState.QUEUED, 1)
    assert (done.state, done.spend.calls, done.wasted.calls) == (RunState.SUCCEEDED, 2, 0)


async def test_a_run_gives_a_lent_slot_back_at_its_next_call_and_goes_on_later() -> None:
    """Who has the reserve has waited for ten seconds; the run is none that failed, and makes no call twice."""
    shares = {"vip": Share(1.0)}
    app = await app_with(Pool("p", ("bot", "vip"), {}, Limits(concurrent_runs=1), shares, strategy="aggressive"))
    await app.declare(declared=TOOLED)
    accepted, gate = await app.submit(), Gate()
    worker = app.worker(gate=gate)
    requeue = worker.runs.requeue(app.queue.send)
    working = asyncio.create_task(worker.runs.worker.process(app.queue.sent[-1], app.signals, requeue=requeue))
    await gate.entered.wait()
    long_ago = app.clock.now - timedelta(seconds=11)
    owner = await app.worker().capacity.admission.admission(AdmissionRequest("default", "vip", since=long_ago))
    another = await worker.capacity.admission.admission(AdmissionRequest("default", "bot"))
    assert owner is not None
    assert another is not None
    for room in (owner, another):  # the second has the worker ask the pool, which it does else every three seconds
        with pytest.raises(PoolFull):
            await room.enter()
    gate.open.set()
    between = await working
    await worker.capacity.admission.aclose()
    app.clock.move(seconds=3)
    await owner.enter()
    owner.close()
    app.clock.move(seconds=62)
    done = await when_due(app)

    assert between is not None
    assert (between.state, between.spend.calls, between.id) == (RunState.QUEUED, 0, accepted.run.id)
    assert (done.state, done.spend.calls, done.wasted.calls) == (RunState.SUCCEEDED, 2, 0)


async def test_no_number_of_waits_fails_a_run() -> None:
    app = await app_with(Pool("p", agents=("bot",), limits=Limits(concurrent_runs=1)), RUN_MAX_ATTEMPTS=2)
    _, working, gate = await app.held()
    run = (await app.submit()).run
    await deliver(app)
    for _ in range(3):
        await when_due(app)
    waited, _ = await app.stored(run)
    gate.open.set()
    await working
    app.clock.move(seconds=30)
    done = await when_due(app)

    assert (waited.state, waited.dispatch.uncounted) == (RunState.QUEUED, 4)
    assert done.state is RunState.SUCCEEDED


async def test_a_pool_that_refuses_says_so_when_a_run_is_submitted() -> None:
    """One that was accepted before is returned all the same."""
    pool = Pool("p", agents=("bot",), limits=Limits(requests_per_minute=1), when_full="refuse")
    app = await app_with(pool)
    accepted = await app.submit(run_id="01933b6e-0000-7000-8000-000000000001")
    await deliver(app)
    await app.services.capacity.admission.aclose()
    with pytest.raises(PoolRefused) as refusal:
        await app.submit()
    again = await app.submit(run_id=accepted.run.id)

    assert (refusal.value.code, (refusal.value.retry_after_s or 0) >= 1) == ("pool_full", True)
    assert again.run.id == accepted.run.id


async def test_a_run_that_was_accepted_fails_where_its_pool_refuses() -> None:
    pool = Pool("p", agents=("bot",), limits=Limits(concurrent_runs=1), when_full="refuse")
    app = await app_with(pool)
    first, second = await app.submit(), await app.submit()
    await slot(app)
    run = await deliver(app)

    assert first.run.id != second.run.id
    assert (run.state, run.error and run.error.code) == (RunState.FAILED, "pool_full")


async def test_what_finds_no_room_spills_over_to_another_pool() -> None:
    small = Pool("p", agents=("bot",), limits=Limits(requests_per_minute=1), when_full="spill", spill_to="big")
    app = await app_with(Pool("big", agents=("other",), limits=Limits(requests_per_minute=10)), small)

    runs = [await app.ask() for _ in range(3)]

    assert [run.state for run in runs] == [RunState.SUCCEEDED] * 3
    assert [(await usage(app, pool)).taken.requests for pool in ("p", "big")] == [1, 2]


async def test_a_call_that_never_fits_fails_its_run_with_what_to_do() -> None:
    app = await app_with(Pool("p", agents=("bot",), limits=Limits(tokens_per_minute=100)))

    run = await app.ask()

    assert (run.state, run.error and run.error.code) == (RunState.FAILED, "pool_call_too_large")
    assert run.spend.calls == 0


async def test_no_more_sessions_are_open_than_may_be() -> None:
    """One that has ended makes room."""
    app = await app_with(Pool("p", agents=("bot",), limits=Limits(open_sessions=2)))
    runs = [await app.ask(session_id=f"s{n}") for n in range(2)]
    with pytest.raises(SessionsFull):
        await app.submit(session_id="s2")
    await app.ask(session_id="s0")
    await app.services.sessions.end.end("default", "s0")
    app.clock.move(minutes=6)
    third = await app.submit(session_id="s2")

    assert third.created
    assert (await usage(app)).sessions == len(runs)


async def test_sessions_started_at_the_same_time_are_not_too_many() -> None:
    app = await app_with(Pool("p", agents=("bot",), limits=Limits(open_sessions=3)))
    started = await asyncio.gather(
        *(app.worker().sessions.start.start("default", "bot", f"s{n}") for n in range(8)), return_exceptions=True
    )

    assert sum(not isinstance(one, BaseException) for one in started) == 3
    assert {type(one) for one in started if isinstance(one, BaseException)} == {SessionsFull}


async def test_a_worker_that_dies_gives_its_slot_back_in_time() -> None:
    """Until then nobody has it."""
    app = await app_with(Pool("p", agents=("bot",), limits=Limits(concurrent_runs=1)))
    await slot(app)
    before = (await app.services.capacity.usage.read("default", "p")).taken.runs
    app.clock.move(seconds=12)
    await app.submit()
    run = await deliver(app)

    assert before == 1
    assert run.state is RunState.SUCCEEDED


async def test_a_refused_run_is_no_dead_letter_and_may_be_asked_again() -> None:
    """It was refused on purpose; whoever asks again later gets a run."""
    app = await app_with(Pool("p", agents=("bot",), limits=Limits(concurrent_runs=1), when_full="refuse"))
    accepted = await app.submit()
    await slot(app)
    run = await deliver(app)

    assert (accepted.created, run.state, run.dead) == (True, RunState.FAILED, False)
    assert PoolRefused().retriable
