"""A worker's cache follows its load: it grows while what it let go of is asked for, within memory, and shrinks."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.loader.cache_size_rules import CacheLoad, RecentEvictions, SizeBounds, fitting_size
from llmops.metrics.definitions import CAPACITY
from tests.lifecycle.app import App
from tests.lifecycle.doubles import spec
from tests.lifecycle.loader.requests import SLOW, zipf

W = "default"
BOUNDS = SizeBounds(50, 200, 0.8)


@pytest.mark.parametrize(
    ("load", "size"),
    [
        (CacheLoad(50, 50, 1000, 10), 62),
        (CacheLoad(50, 50, 1000, 9), 50),
        (CacheLoad(50, 50, 0, 0), 50),
        (CacheLoad(190, 190, 100, 50), 200),
        (CacheLoad(100, 49, 1000, 0), 75),
        (CacheLoad(100, 50, 1000, 0), 100),
        (CacheLoad(100, 1, 1000, 1), 100),
        (CacheLoad(60, 0, 0, 0), 50),
        (CacheLoad(100, 100, 1000, 500, 0.71), 125),
        (CacheLoad(100, 100, 1000, 500, 0.73), 100),
        (CacheLoad(100, 100, 1000, 500, 0.8), 75),
        (CacheLoad(50, 50, 1000, 500, 0.99), 50),
    ],
)
def test_a_size_follows_what_is_asked(load: CacheLoad, size: int) -> None:
    """Up by a quarter where it pays and there is memory, down by a quarter where it is not used or memory is short."""
    assert fitting_size(load, BOUNDS) == size


@SLOW
@given(
    load=st.builds(
        CacheLoad,
        st.integers(1, 10_000),
        st.integers(0, 10_000),
        st.integers(0, 10**6),
        st.integers(0, 10**6),
        st.none() | st.floats(0, 1),
    ),
    least=st.integers(1, 500),
    more=st.integers(0, 500),
    share=st.floats(0.01, 1),
)
def test_a_size_is_within_its_bounds(load: CacheLoad, least: int, more: int, share: float) -> None:
    """Whatever is asked, and however much memory is used."""
    assert least <= fitting_size(load, SizeBounds(least, least + more, share)) <= least + more


def test_only_recent_evictions_are_counted() -> None:
    """Once each time it went; of more than are remembered the latest; without any to remember, nothing."""
    recent_evictions, none = RecentEvictions(2), RecentEvictions(0)
    for key in "abc":
        recent_evictions.evicted((W, key))
        none.evicted((W, key))
    for key in "abccx":
        recent_evictions.missed((W, key))
        none.missed((W, key))

    assert (recent_evictions.count, none.count) == (2, 0)


async def served(app: App, names: list[int]) -> float:
    """Have a worker look these agents up in turn; return how often it had them."""
    cache = app.services.agents.resolver.cache
    hits, misses = cache.hits, cache.misses
    for name in names:
        await app.services.agents.resolver.resolve(W, f"a{name}", app.signals)
    return (cache.hits - hits) / (cache.hits - hits + cache.misses - misses)


@pytest.fixture
async def app() -> App:
    """Return a worker of an app with a hundred agents, whose cache may have 10 to 60 places."""
    app = App(AGENT_CACHE_SIZE=10, AGENT_CACHE_MAX_SIZE=60, AGENT_CACHE_MEMORY_SHARE=1, PRELOAD_SHARE=0)
    for number in range(100):
        await app.services.agents.administration.declare(W, f"a{number}", spec(), app.signals)
    app.services.agents.preloader.wake()
    return app


async def test_a_workers_cache_grows_under_load_and_shrinks_after_it(app: App) -> None:
    """To its largest size while a hundred agents are in use, which hits more often; back once five are."""
    requests = zipf(0.7, 1500, agents=100)
    cache = app.services.agents.resolver.cache
    first = await served(app, requests[:150])
    later = await served(app, requests[150:])
    assert cache.capacity == 60
    assert later > first + 0.2

    for _ in range(12):
        app.clock.move(minutes=6)
        await served(app, [random.Random(number).randrange(5) for number in range(20)])
        app.services.agents.preloader.wake()
    assert cache.capacity == 10
    assert len(cache) <= 10


async def test_the_size_is_told(app: App) -> None:
    """In the metrics, and as the places of the worker in `GET loader`."""
    await served(app, zipf(0.7, 600, agents=100))
    series = await app.services.metrics.workers.read(W)
    state = await app.services.agents.loader_overview.state(W)

    assert series[(CAPACITY.name,)] == (60,)
    assert [one.metrics.max_active for one in state.workers] == [60]
    assert state.total.utilization == 1


async def test_short_memory_takes_places_away() -> None:
    """From the share of the worker's memory on that is set, here any; and a size that is fixed stays."""
    for most, size in ((60, 10), (0, 10)):
        app = App(AGENT_CACHE_SIZE=10, AGENT_CACHE_MAX_SIZE=most, AGENT_CACHE_MEMORY_SHARE=1e-9, PRELOAD_SHARE=0)
        for number in range(30):
            await app.services.agents.administration.declare(W, f"a{number}", spec(), app.signals)
        app.services.agents.preloader.wake()
        await served(app, list(range(30)) * 3)
        assert app.services.agents.resolver.cache.capacity == size
