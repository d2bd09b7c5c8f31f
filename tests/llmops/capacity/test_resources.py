"""What is measured of workers and pools, when that is much, and what it was by the hour."""

from __future__ import annotations

from datetime import timedelta

import pytest

from adapters.memory_tables import MemoryTables
from adapters.process import ProcessSampler
from llmops.capacity.pool_usage import level
from llmops.capacity.pools import Limits, Pool, Thresholds
from llmops.capacity.worker_resources import ProcessMeasure, ProcessSample, RunTimes
from llmops.metrics.definitions import CPU_TIME, MEMORY, RUNS
from llmops.metrics.shared import SharedMetrics
from tests.lifecycle.app import App
from tests.lifecycle.doubles import CountingTables, ManualClock

GIB = 1_073_741_824


def measured(app: App, sample: ProcessSample) -> SharedMetrics:
    """Return a worker of the app that measures so much."""
    metrics = SharedMetrics(app.tables, app.clock, timedelta(hours=1), lambda *_: None)
    metrics.add_source(ProcessMeasure(metrics, lambda: sample, RunTimes()).collect)
    metrics.count("default", RUNS, 1, "bot", "succeeded")
    return metrics


def test_this_process_uses_memory_and_cpu() -> None:
    """As the operating system says: more than nothing, and no more than there is."""
    found = ProcessSampler()()

    assert 1_000_000 < found.memory_bytes < found.limit_bytes
    assert 0 <= found.cpu_share <= 1


@pytest.mark.parametrize(("used", "how"), [(None, "ok"), (0.89, "ok"), (0.9, "warning"), (0.95, "critical")])
def test_it_is_critical_half_way_from_a_warning_to_all(used: float | None, how: str) -> None:
    assert level(used, 0.9) == how


async def test_every_worker_says_what_it_uses() -> None:
    app = App()
    for share in (0.5, 0.92):
        await measured(app, ProcessSample(round(share * 2 * GIB), 2 * GIB, share / 2)).store()
    found = await app.services.capacity.resources.now("default")

    assert sorted((round(one.memory_share or 0, 2), one.level) for one in found.workers) == [
        (0.5, "ok"),
        (0.92, "warning"),
    ]
    assert found.level == "warning"


async def test_measuring_stores_nothing_by_itself() -> None:
    """An idle worker writes no row; what it measured goes with the next counts."""
    tables = CountingTables()
    metrics = SharedMetrics(tables, ManualClock(), timedelta(seconds=1), lambda *_: None)
    ProcessMeasure(metrics, lambda: ProcessSample(1, 2, 0.1), RunTimes()).collect()
    metrics.gauge("default", MEMORY, 5)

    assert metrics._timer is None
    assert not tables.operations


async def test_cpu_is_shared_out_by_how_long_runs_went_on() -> None:
    """Of 5 s that the worker used, two runs of 30 s each and one of 60 s, which still goes on."""
    metrics = SharedMetrics(MemoryTables(), ManualClock(), timedelta(hours=1), lambda *_: None)
    at, cpu_s = [0.0], [9.0]
    times = RunTimes(lambda: at[0])
    measure = ProcessMeasure(metrics, lambda: ProcessSample(1, 2, 0.1, cpu_s[0]), times)
    metrics.gauge("default", MEMORY, 5)
    measure.collect()
    for run, agent in (("r1", "a"), ("r2", "a"), ("r3", "b")):
        times.begin(run, "default", agent)
    at[0], cpu_s[0] = 30.0, 10.0
    times.end("r1")
    times.end("r2")
    at[0], cpu_s[0] = 60.0, 13.0
    measure.collect()
    cpu_s[0] = 14.0  # nothing was carried out meanwhile but what goes on
    at[0] = 61.0
    measure.collect()
    found = await metrics.read("default")

    assert {key[1]: round(numbers[0], 6) for key, numbers in found.items() if key[0] == CPU_TIME.name} == {
        "a": 2.0,
        "b": 3.0,
    }


async def test_a_worker_that_has_not_worked_lately_is_not_shown() -> None:
    app = App()
    await measured(app, ProcessSample(GIB, 2 * GIB, 0.1)).store()
    app.clock.move(minutes=6)

    assert (await app.services.capacity.resources.now("default")).workers == []


async def test_hours_have_the_most_and_the_mean_and_go_after_thirty_days() -> None:
    app = App(BUDGET_TRUST_S=1)
    pool = Pool("p", agents=("bot",), limits=Limits(requests_per_minute=4))
    await app.services.capacity.pools.put("default", pool, None)
    await app.declare()
    sampler, reader = app.services.capacity.sampler, app.services.capacity.resources
    await sampler.run(app.clock())
    await app.ask()
    await app.services.capacity.admission.aclose()
    await sampler.run(app.clock())
    [hour] = await reader.history("default", 24)
    app.clock.move(days=31, minutes=30)
    await sampler.run(app.clock())

    use = hour.pools["p"]["requests_per_minute"]
    assert (use.most, use.mean, use.samples) == (0.25, 0.125, 2)
    assert hour.workers["workers"].samples == 2
    assert [one.start for one in await reader.history("default", 720)] == [app.clock().replace(minute=0)]


async def test_what_becomes_much_is_told_once_an_hour() -> None:
    """With what it is; at most once for each limit and level."""
    app = App(BUDGET_TRUST_S=1)
    pool = Pool("p", agents=("bot",), limits=Limits(requests_per_minute=1), thresholds=Thresholds(tokens=0.5))
    await app.services.capacity.pools.put("default", pool, None)
    await app.declare()
    await app.ask()
    await app.services.capacity.admission.aclose()
    for _ in range(2):
        await app.services.capacity.sampler.run(app.clock())
    events = await told(app)

    assert [(name, data["what"], data["limit"]) for name, data in events] == [
        ("resource.critical", "pool:p", "requests_per_minute")
    ]


async def told(app: App) -> list[tuple[str, dict[str, object]]]:
    """Return the names and data of the workspace's events about resources."""
    journal, found = app.services.events.journal, list[tuple[str, dict[str, object]]]()
    for shard in range(len(await journal.ends("default"))):
        events = await journal.read("default", shard, 0, 1000)
        found += [(event.name, dict(event.data)) for _, event in events if event.name.startswith("resource.")]
    return found
