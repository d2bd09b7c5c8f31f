"""Every way a worker can die while it runs a run: the next delivery ends with one answer, right counters and costs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

import pytest

from kernel.errors import Unavailable
from lifecycle.conversations.run import Run
from lifecycle.conversations.run_request import RunRequest, submission_of
from lifecycle.specs.spec import AgentSpec
from llmops.budgets.budget_rules import Budget, Limit, Scope
from tests.lifecycle.app import TOOLED, App, abandon
from tests.lifecycle.doubles import Crash, Fate, RepeatingTables, live_versions, spec

AGENTS = {"one call": spec(), "two calls": TOOLED}
DECLARED = AGENTS | {"retried": spec(simulate={"fail_first": 1, "fail_with": "throttled"})}


@contextlib.asynccontextmanager
async def one_run(declared: AgentSpec) -> AsyncIterator[tuple[App, Run]]:
    """Give an app in which one run is queued and its agent was never made."""
    app = App()
    await app.services.agents.catalog.declare("default", "bot", declared)
    agent = await app.services.agents.catalog.get("default", "bot")
    message = await app.services.runs.submission.accept(
        agent, RunRequest(query="2 + 3"), "01900000-0000-7000-8000-000000000001"
    )
    yield app, message.run
    await app.aclose()


async def process(app: App, run: Run, fate: Fate | None = None, *, warm: bool = False) -> Run:
    worker = app.worker(fate) if fate else app.services
    signals = worker.agents.local_signals() if fate else app.signals
    if warm:
        await app.services.agents.resolver.resolve("default", "bot", app.signals)
        await worker.agents.resolver.resolve("default", "bot", app.signals)
    try:
        done = await worker.runs.worker.process(submission_of(run), signals)
        assert done is not None
        return done
    finally:
        await abandon(worker)


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_run_survives_its_worker_dying_at_any_effect(agent: str, after: bool) -> None:
    """The lease runs out, the message is delivered again, and it looks as if nothing had happened but the costs."""
    number = 0
    for number in itertools.count(1):
        async with one_run(AGENTS[agent]) as (app, run):
            fate = Fate(number, after)
            with contextlib.suppress(Crash):
                await process(app, run, fate)
            if not fate.dead:
                break
            app.clock.move(seconds=61)
            done = await process(app, run)

            assert done.attempt <= 2
            await app.check_answered_once(run)
            live = await live_versions(app.tables)
            assert len(live) == len(set(live.values())) == 1
            assert [line.call for line in await app.lines(run) if line.attempt == done.attempt] in ([1], [1, 2])

    assert number > 8, "claim, provisioning, model calls, ledger and answer"


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_call_noted_with_the_claim_is_paid_for_once(agent: str, after: bool) -> None:
    """A worker that has the agent at hand notes its first call as it claims the run; it may die at any effect."""
    number = 0
    for number in itertools.count(1):
        async with one_run(AGENTS[agent]) as (app, run):
            fate = Fate(number, after)
            with contextlib.suppress(Crash):
                await process(app, run, fate, warm=True)
            if not fate.dead:
                break
            app.clock.move(seconds=61)
            done = await process(app, run)
            facts = await app.attempts(run)

            await app.check_answered_once(run)
            assert [fact.attempt for fact in facts] == list(range(1, done.attempt + 1))
            assert {(fact.ending, fact.code) for fact in facts[:-1]} <= {("retried", "worker_lost")}
            for fact in facts[:-1]:
                assert fact.calls, "the first call may have been made"
                assert fact.calls[-1].outcome in ("unsettled", "answered")

    assert number > 3, "claim, model call, answer and fact"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_what_a_dead_worker_has_reserved_is_given_back_with_the_next_delivery(after: bool) -> None:
    """Also where it died between the answer and giving back: no budget waits until the reservation expires."""
    number = 0
    for number in itertools.count(1):
        async with one_run(TOOLED) as (app, run):
            budget = Budget(Scope("workspace"), (Limit("tokens", "total", 1_000_000),))
            await app.services.budgets.store.put("default", budget, None)
            fate = Fate(number, after)
            with contextlib.suppress(Crash):
                await process(app, run, fate, warm=True)
            if not fate.dead:
                break
            app.clock.move(seconds=61)
            done = await process(app, run)
            (usage,), _ = await app.services.budgets.usage.list("default", 9)

            assert [hold async for hold in app.services.budgets.counters.reservations("default", run.id)] == []
            assert (usage.reserved, done.finished) == (0, True)

    assert number > 5


@pytest.mark.parametrize("after", [False, True], ids=["refused", "in doubt"])
async def test_a_run_survives_its_storage_failing_at_any_write(after: bool) -> None:
    """A write fails, or took place although its answer was lost; redelivery ends the same way."""
    number = 0
    for number in itertools.count(1):
        async with one_run(TOOLED) as (app, run):
            fate = Fate(number, after, Unavailable)
            for _ in range(4):
                with contextlib.suppress(Unavailable):
                    await process(app, run, fate)
                    break
                app.clock.move(seconds=61)
            await app.check_answered_once(run)
            live = await live_versions(app.tables)
            assert len(live) == len(set(live.values())) == 1
            if not fate.struck:
                break

    assert number > 8


@pytest.mark.parametrize("agent", [*AGENTS, "retried", "budgeted"])
async def test_what_the_client_has_repeated_itself_is_the_worker_s_own_doing(agent: str) -> None:
    """A commit takes effect, its answer is lost, and the client's own repetition is told that somebody changed it.

    That is not taken for another worker's doing: the delivery does all that there is to do, for none comes after it.
    """
    number = 0
    for number in itertools.count(1):
        tables = RepeatingTables()
        app = App(tables)
        await app.declare(declared=DECLARED.get(agent, TOOLED))
        if agent == "budgeted":
            budget = Budget(Scope("workspace"), (Limit("tokens", "total", 1_000_000),))
            await app.services.budgets.store.put("default", budget, None)
        await app.services.agents.resolver.resolve("default", "bot", app.signals)
        accepted = await app.submit("2 + 3")
        tables.count, tables.at = 0, number
        message, struck = app.queue.sent[-1], False
        for _ in range(3):
            try:
                await app.requeued(message)
            except Unavailable:
                continue  # it is delivered again
            finally:
                struck = struck or tables.count >= number
            done, _ = await app.stored(accepted.run)
            if done.finished:
                break
            [(_, message)] = app.queue.scheduled  # the delivery has queued what is next
            app.queue.scheduled.clear()
            app.clock.move(seconds=61)
        done, _ = await app.stored(accepted.run)

        await app.check_answered_once(accepted.run)
        assert [fact.attempt for fact in await app.attempts(done)] == list(range(1, done.attempt + 1))
        assert [hold async for hold in app.services.budgets.counters.reservations("default", done.id)] == []
        await app.aclose()
        if not struck:
            break

    assert number > 3


async def test_a_run_survives_workers_that_die_again_and_again() -> None:
    """Three workers die, each at another moment; the fourth answers."""
    async with one_run(TOOLED) as (app, run):
        for number in (3, 8, 5):
            with pytest.raises(Crash):
                await process(app, run, Fate(number, after=True))
            app.clock.move(seconds=61)
        await process(app, run)

        await app.check_answered_once(run)


async def test_a_worker_cancelled_at_any_moment_leaves_a_run_that_ends_well() -> None:
    """The host stops the worker at some await; whatever it was, the next worker answers once."""
    for steps in range(0, 160, 7):
        async with one_run(TOOLED) as (app, run):
            working = asyncio.create_task(process(app, run))
            for _ in range(steps):
                await asyncio.sleep(0)
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            app.clock.move(seconds=61)
            await process(app, run)

            await app.check_answered_once(run)
