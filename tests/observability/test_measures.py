"""What is measured of runs: when it is stored, once, whoever ends them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kernel.errors import AppError, Unavailable
from lifecycle.conversations.run import Run, RunState, Stage
from llmops.metrics import definitions as metrics
from llmops.metrics.series import Key, Numbers
from tests.lifecycle.app import TOOLED, App
from tests.lifecycle.doubles import CountingTables, Fate, spec

_OF_THE_PROCESS = (metrics.MEMORY.name, metrics.MEMORY_LIMIT.name, metrics.CPU.name)


async def counted(app: App) -> dict[Key, Numbers]:
    """Return what was measured of runs and agents."""
    found = await app.services.metrics.workers.read("default")
    return {key: numbers for key, numbers in found.items() if key[0] not in _OF_THE_PROCESS}


async def asked(app: App, **more: Any) -> Run:
    return await app.ask(**more)


async def test_a_run_s_numbers() -> None:
    """Outcome, duration, waiting, quality, tokens, cost, calls and look-ups, each once."""
    app = App()
    await app.declare("bot", TOOLED)
    await app.submit()
    app.clock.move(seconds=2)
    run = await app.process(app.queue.sent[-1])
    found = await counted(app)
    spend = run.spend

    assert found[metrics.RUNS.name, "bot", "succeeded"] == (1,)
    assert found[metrics.RUN_DURATION.name, "bot"][:2] == (1, 2)
    assert found[metrics.QUEUE_TIME.name,][:2] == (1, 2)
    assert run.score is not None
    assert found[metrics.QUALITY.name, "bot"][:2] == (1, run.score.overall)
    assert found[metrics.MODEL_CALLS.name, "gpt-4o-mini"][0] == spend.calls == 2
    assert found[metrics.TOKENS.name, "gpt-4o-mini", "input"] == (spend.input_tokens,)
    assert found[metrics.TOKENS.name, "gpt-4o-mini", "output"] == (spend.output_tokens,)
    assert found.get((metrics.COST.name, "bot"), (0,)) == (spend.cost_micro_usd,)
    assert found[metrics.LOOKUPS.name, "miss"] == (1,)
    await app.aclose()


async def test_the_second_run_finds_its_agent_ready() -> None:
    """The share of hits is how well the cache does."""
    app = App()
    await app.declare()
    for _ in range(3):
        await app.ask()
    found = await counted(app)

    assert (found[metrics.LOOKUPS.name, "miss"], found[metrics.LOOKUPS.name, "hit"]) == ((1,), (2,))
    await app.aclose()


async def test_a_duplicate_counts_nothing() -> None:
    """It finds the finished run."""
    app = App()
    await app.declare()
    await app.ask()
    before = await counted(app)
    await app.process(app.queue.sent[-1])

    assert await counted(app) == before
    await app.aclose()


async def test_ends_that_no_worker_brings_are_counted_too() -> None:
    """Cancelled while it waits; never taken by the queue."""
    app = App()
    await app.declare()
    accepted = await app.submit()
    await app.services.runs.queries.cancel("default", accepted.run.id)
    app.queue.refuse = True
    with pytest.raises(Unavailable):
        await app.submit()
    found = await counted(app)

    assert found[metrics.RUNS.name, "bot", "cancelled"] == (1,)
    assert found[metrics.RUNS.name, "bot", "failed"] == (1,)
    await app.aclose()


async def test_a_failed_attempt_is_no_end_but_its_calls_count() -> None:
    """A run that is tried again ends once."""
    app = App()
    await app.declare("bot", TOOLED)
    await app.submit()
    submission = app.queue.sent[-1]
    failing = app.worker(model=Fate(1, after=True, error=Unavailable))
    with pytest.raises(AppError):
        await app.process(submission, worker=failing)
    there = await failing.metrics.workers.read("default")
    await app.process(submission)
    here = await counted(app)

    assert (metrics.RUNS.name, "bot", "failed") not in there
    assert there[metrics.MODEL_CALLS.name, "gpt-4o-mini"][0] == 2
    assert here[metrics.RUNS.name, "bot", "succeeded"] == (1,)
    await failing.agents.use_recorder.aclose()
    await app.aclose()


async def test_metrics_make_no_request_on_the_way_of_a_run() -> None:
    """They are stored later, all at once, and the registry's changes lie in transactions that are made anyway."""
    tables = CountingTables()
    app = App(tables)
    await app.declare("bot", spec())
    await app.ask()
    tables.reset()
    await app.ask()

    assert [name for name in tables.operations if name.endswith(" metrics")] == []
    await app.services.metrics.workers.store()
    assert tables.operations["commit metrics"] == 1
    await app.aclose()


async def test_a_run_that_a_budget_makes_wait_is_counted_each_time_it_does() -> None:
    """Waiting for something else is none of it."""
    app = App()
    await app.declare()
    run, _ = await app.stored((await app.submit()).run)
    waiting = replace(run, state=RunState.WAITING, stage=Stage.CHECKING_BUDGET)
    for before, after in ((run, waiting), (waiting, waiting), (waiting, run), (run, waiting)):
        app.services.metrics.measures.run_changed(before, after)
    app.services.metrics.measures.run_changed(run, replace(waiting, stage=Stage.RUNNING))

    assert (await counted(app))[metrics.BLOCKED.name, "bot"] == (2,)
    await app.aclose()
