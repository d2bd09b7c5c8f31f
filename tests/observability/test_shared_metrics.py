"""What workers count is shared without a write on the way of a run: nothing twice, next to nothing lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.memory_tables import MemoryTables
from kernel.errors import Unavailable
from kernel.tables import Span, Tables, every
from llmops.metrics.definitions import BY_NAME, LOOKUPS, QUALITY, RUN_DURATION, RUNNING, RUNS
from llmops.metrics.series import MAX_SERIES, OTHER, Series, added, dump, load, observed, without
from llmops.metrics.shared import SILENT_AFTER, TABLE, SharedMetrics
from tests.e2e.support import eventually
from tests.lifecycle.doubles import CountingTables, Fate, FatefulTables, ManualClock

HITS = (LOOKUPS.name, "hit")
LONG = timedelta(hours=1)


def worker(tables: Tables, clock: ManualClock, interval: timedelta = LONG) -> SharedMetrics:
    return SharedMetrics(tables, clock, interval, lambda *_: None)


async def hits(tables: Tables, clock: ManualClock) -> float:
    """Return the hits as a worker that has counted nothing reads them."""
    return (await worker(tables, clock).read("w")).get(HITS, (0.0,))[0]


async def test_all_workers_are_added_up() -> None:
    """Whoever is asked; what is not stored yet is known to the worker that counted it."""
    tables, clock = MemoryTables(), ManualClock()
    one, two = worker(tables, clock), worker(tables, clock)
    for each, times in ((one, 2), (two, 3)):
        for _ in range(times):
            each.count("w", LOOKUPS, 1, "hit")
        await each.store()
    two.count("w", LOOKUPS, 1, "hit")

    assert (await one.read("w"))[HITS] == (5,)
    assert (await two.read("w"))[HITS] == (6,)
    assert await one.read("other") == {}


async def test_counting_costs_no_request_and_storing_one_a_workspace() -> None:
    """However much was counted; and what did not change is not stored again."""
    tables, clock = CountingTables(), ManualClock()
    mine = worker(tables, clock)
    for n in range(500):
        mine.count(f"w{n % 2}", RUNS, 1, f"agent-{n % 7}", "succeeded")

    assert tables.operations == {}
    await mine.store()
    tables.reset()
    mine.count("w0", RUNS, 1, "agent-1", "succeeded")
    await mine.store()
    await mine.store()
    assert tables.operations == {"commit metrics": 1}


class SlowTables(CountingTables):
    """Tables in which others get their turn during a request, as over a network."""

    async def query(self, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        return await super().query(*args, **kwargs)


async def test_two_first_writes_at_the_same_time_count_once() -> None:
    """That of the interval and that of somebody who looks: both are of one row."""
    tables, clock = SlowTables(), ManualClock()
    mine = worker(tables, clock)
    mine.count("w", LOOKUPS, 2, "hit")
    await asyncio.gather(mine.store(), mine.store())

    assert await hits(tables, clock) == 2


async def test_counts_are_stored_by_themselves() -> None:
    """An interval after the first count, and not before."""
    tables, clock = MemoryTables(), ManualClock()
    mine = worker(tables, clock, timedelta(milliseconds=20))
    mine.count("w", LOOKUPS, 1, "hit")

    assert await hits(tables, clock) == 0
    assert await eventually(lambda: hits(tables, clock)) == 1


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_a_write_that_failed_or_whose_answer_was_lost_counts_once(at: int, *, after: bool) -> None:
    """Whichever write it is, the next one makes up for it."""
    tables, clock = MemoryTables(), ManualClock()
    mine = worker(FatefulTables(tables, Fate(at, after=after, error=Unavailable)), clock)
    for _ in range(4):
        mine.count("w", LOOKUPS, 1, "hit")
        await mine.store()

    assert await hits(tables, clock) == 4
    assert (await mine.read("w"))[HITS] == (4,)


async def test_workers_that_are_gone_are_added_to_the_past() -> None:
    """By the next worker that starts; a reader sees no difference, and their rows do not pile up."""
    tables, clock = MemoryTables(), ManualClock()
    for _ in range(3):
        gone = worker(tables, clock)
        gone.count("w", LOOKUPS, 1, "hit")
        await gone.store()
    clock.now += SILENT_AFTER * 2
    fresh = worker(tables, clock)
    fresh.count("w", LOOKUPS, 1, "hit")
    await fresh.store()
    keys = [row.key for row in (await tables.query(TABLE, Span("w"))).rows]

    assert await hits(tables, clock) == 4
    assert len(keys) == 2
    assert keys[0] == "past"


async def test_a_worker_that_was_only_silent_counts_nothing_twice() -> None:
    """Its row went to the past while it was idle; it begins another one with what came since."""
    tables, clock = MemoryTables(), ManualClock()
    idle = worker(tables, clock)
    idle.count("w", LOOKUPS, 1, "hit")
    await idle.store()
    clock.now += SILENT_AFTER * 2
    other = worker(tables, clock)
    other.count("w", LOOKUPS, 1, "miss")
    await other.store()

    assert (await idle.read("w"))[HITS] == (1,)
    idle.count("w", LOOKUPS, 1, "hit")
    assert (await idle.read("w"))[HITS] == (2,)
    await idle.store()
    idle.count("w", LOOKUPS, 1, "hit")
    await idle.store()
    assert await hits(tables, clock) == (await idle.read("w"))[HITS][0] == 3


async def test_a_worker_that_dies_loses_what_it_had_not_stored() -> None:
    """And nothing else: that is the promise."""
    tables, clock = MemoryTables(), ManualClock()
    dying = worker(tables, clock)
    dying.count("w", LOOKUPS, 1, "hit")
    await dying.store()
    dying.count("w", LOOKUPS, 1, "hit")

    assert await hits(tables, clock) == 1


async def test_no_workspace_can_fill_a_row() -> None:
    """Beyond so many agents a worker counts them together, so that a row stays far below its limit."""
    tables, clock = MemoryTables(), ManualClock()
    mine = worker(tables, clock)
    for n in range(MAX_SERIES + 50):
        mine.count("w", RUN_DURATION, 1.5, f"{n:063d}")
    await mine.store()
    counted = await worker(tables, clock).read("w")
    (row,) = (await tables.query(TABLE, Span("w"))).rows

    assert len(counted) == MAX_SERIES + 1
    assert counted[RUN_DURATION.name, OTHER][0] == 50
    assert len(row.text("series")) < 100_000


SERIES = st.dictionaries(
    st.sampled_from([HITS, (LOOKUPS.name, "miss"), (QUALITY.name, "bot")]), st.integers(0, 100), max_size=3
).map(lambda found: {key: observed(BY_NAME[key[0]], value) for key, value in found.items()})


@given(SERIES, SERIES, SERIES)
def test_series_add_up_in_any_order(one: Series, two: Series, three: Series) -> None:
    """And taking a part away again leaves the rest."""
    assert added(added(one, two), three) == added(three, added(two, one))
    assert added(without(added(one, two), one), one) == added(one, two)
    assert load(dump(one)) == one


def test_what_is_stored_outlives_its_definition() -> None:
    """A metric that was renamed or got other buckets is left out, not misread."""
    assert load('[[["agent.gone","x"],[1]],[["agent.cache.lookups","hit"],[1,2]],[["agent.runs"],[1]]]') == {}


def test_a_value_on_a_bound_is_within_it() -> None:
    """Prometheus's buckets are `le`: less or equal."""
    assert observed(QUALITY, 90.0)[2:] == (0, 0, 0, 0, 0, 0, 0, 0, 1, 0)
    assert observed(QUALITY, 100)[2:] == (0, 0, 0, 0, 0, 0, 0, 0, 0, 1)


async def test_the_past_does_not_grow_with_all_agents_that_ever_were() -> None:
    """Worker after worker counts others: none is kept from storing, and nothing that was counted is lost."""
    tables, clock = MemoryTables(), ManualClock()
    for number in range(60):
        mine = worker(tables, clock)
        for agent in range(MAX_SERIES - 1):
            name = f"agent-{number:03d}-{agent:03d}".ljust(63, "x")
            mine.count("w", RUNS, 1, name, "succeeded")
            mine.count("w", RUN_DURATION, 1.5, name)
        await mine.store()
        clock.now += SILENT_AFTER * 2
    last = worker(tables, clock)
    last.count("w", LOOKUPS, 1, "hit")
    await last.store()
    total = await worker(tables, clock).read("w")

    assert len([row async for row in every(tables, TABLE, Span("w"))]) == 2
    assert sum(numbers[0] for key, numbers in total.items() if key[0] == RUNS.name) == 60 * (MAX_SERIES - 1)
    assert sum(key[0] == RUNS.name for key in total) == MAX_SERIES + 1


async def test_what_runs_now_is_what_workers_that_live_say() -> None:
    """A worker that is gone runs nothing: its gauges are believed for a while, and are no part of the past."""
    tables, clock = MemoryTables(), ManualClock()
    believed = timedelta(minutes=10)

    def made() -> SharedMetrics:
        return SharedMetrics(tables, clock, LONG, lambda *_: None, gauges_last=believed)

    async def running() -> float:
        return (await made().read("w")).get((RUNNING.name, "bot"), (0.0,))[0]

    dead, alive = made(), made()
    for each, count in ((dead, 2), (alive, 3)):
        for _ in range(count):
            each.count("w", RUNNING, 1, "bot")
        await each.store()
    together = await running()
    clock.now += believed * 2
    alive.count("w", RUNNING, -1, "bot")
    await alive.store()
    left = await running()
    clock.now += SILENT_AFTER * 2
    newcomer = made()
    newcomer.count("w", LOOKUPS, 1, "hit")
    await newcomer.store()  # adds those that were silent to the past
    none = await running()
    alive.count("w", RUNNING, -1, "bot")
    await alive.store()  # was not gone after all, and begins a new row

    assert (together, left, none) == (5, 2, 0)
    assert await running() == 1
