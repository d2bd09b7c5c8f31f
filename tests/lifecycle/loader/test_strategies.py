"""Strategies that are compared: workers are divided between them, and their hit rates stand beside each other."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from kernel.settings import InvalidSettings, Settings
from lifecycle.loader.cache_insights import LoaderFigures, insights_of
from lifecycle.loader.hit_rates import HitRateWindow, Lookups
from lifecycle.loader.loader_statistics import LoaderMetrics
from lifecycle.loader.strategy_comparison import Compared, Strategy, compared, read_strategies, strategy_of
from llmops.notifications.channels import ChannelRequest
from tests.lifecycle.app import App
from tests.lifecycle.doubles import spec

W = "default"


def test_strategies_are_read_from_a_list() -> None:
    """With the share that is set where none is named; the same one twice is one."""
    assert read_strategies("", 0.8) == []
    assert read_strategies("sieve, lru/0,sieve/0.8", 0.8) == [Strategy("sieve", 0.8), Strategy("lru", 0.0)]


@pytest.mark.parametrize("text", ["mru", "sieve/2", "sieve/", "sieve;lru", "sieve,", "sieve/-1", "/0.5"])
def test_a_strategy_that_there_is_not_is_refused(text: str) -> None:
    """At the start, by its setting's name."""
    with pytest.raises(InvalidSettings, match="LOADER_STRATEGIES"):
        Settings.of({"LOADER_STRATEGIES": text})


def test_workers_are_divided_evenly() -> None:
    """By their ids, which are random; each keeps its own."""
    several = read_strategies("sieve,lru,s3-fifo", 0.8)
    drawn = Counter(strategy_of(f"worker-{number}", several).policy for number in range(900))

    assert all(250 < count < 350 for count in drawn.values())
    assert strategy_of("w", several) == strategy_of("w", several)


def test_a_range_narrows_with_what_was_asked() -> None:
    """It holds the rate, and is narrow enough to tell 55 % from 60 % after some thousand look-ups; none, no line."""
    few, many = (compared({"a": (55 * count, 45 * count), "b": (60 * count, 40 * count)}) for count in (1, 50))

    assert [one.strategy for one in few] == ["b", "a"]
    assert few[0].least < few[1].most
    assert many[0].least > many[1].most
    assert all(one.least < one.hit_rate < one.most for one in [*few, *many])
    assert compared({"a": (0, 0)}) == []


async def test_hit_rates_of_strategies_stand_beside_each_other() -> None:
    """Workers of one app that run different ones; what those that are gone did counts too, and a single one is none."""
    app = App(LOADER_STRATEGIES="sieve/0,lru/0", AGENT_CACHE_SIZE=2)
    for name in "abcd":
        await app.services.agents.administration.declare(W, name, spec(), app.signals)
    workers = [app.worker() for _ in range(12)]
    policies: Counter[str] = Counter()
    for worker in workers:
        for name in ("a", "a", "b"):
            await worker.agents.resolver.resolve(W, name, app.signals)
        policies[worker.agents.loader_overview._policy] += 1
        await worker.metrics.workers.store()
    state = await app.services.agents.loader_overview.state(W)
    assert len(policies) == 2, "a chance of one in two thousand to fail"
    assert {one.strategy: (one.hits, one.misses) for one in state.strategies} == {
        f"{policy}/0": (count, 2 * count) for policy, count in policies.items()
    }
    assert Counter(one.strategy for one in state.workers) == {f"{name}/0": count for name, count in policies.items()}

    plain = App()
    await plain.declare("a")
    await plain.services.agents.resolver.resolve(W, "a", plain.signals)
    state = await plain.services.agents.loader_overview.state(W)
    assert (list(state.strategies), [one.strategy for one in state.workers]) == ([], [None])


async def test_a_comparison_is_of_the_last_day() -> None:
    """What was looked up before is noted by the timer, and counts no more."""
    app = App(LOADER_STRATEGIES="sieve/0", AGENT_CACHE_TRUST_S=86_400)
    await app.declare("a")
    resolver = app.services.agents.resolver
    for _ in range(3):
        await resolver.resolve(W, "a", app.signals)
    await app.services.metrics.hit_rates.note([W])
    app.clock.move(hours=25)
    await app.services.metrics.hit_rates.note([W])
    app.clock.move(minutes=1)
    await resolver.resolve(W, "a", app.signals)

    (one,) = (await app.services.agents.loader_overview.state(W)).strategies
    assert (one.hits, one.misses) == (0, 1)


QUIET = HitRateWindow(Lookups(), Lookups())


def codes(total: LoaderMetrics, workers: int = 1, recent: HitRateWindow = QUIET, *strategies: Compared) -> list[str]:
    return [one.code for one in insights_of(LoaderFigures(total, workers, recent, strategies))]


def test_insights_rest_on_enough() -> None:
    """Nothing is said of a few look-ups, nor where all is well."""
    assert codes(LoaderMetrics()) == []
    assert codes(LoaderMetrics(hits=5, misses=50, active=50, max_active=50, evictions=40)) == []
    well = LoaderMetrics(hits=900, misses=100, active=50, max_active=50, evictions=150, preloaded=40, preloads_used=40)
    assert codes(well) == []


@pytest.mark.parametrize(
    ("total", "workers", "code"),
    [
        (LoaderMetrics(hits=500, misses=500, active=50, max_active=50, evictions=400), 1, "cache_too_small"),
        (LoaderMetrics(hits=300, misses=700, active=100, max_active=1000), 20, "workers_begin_cold"),
        (LoaderMetrics(preloaded=40, preloads_used=10, preloads_wasted=15), 1, "preloads_wasted"),
        (LoaderMetrics(preloaded=20, preload_failures=10), 1, "preloads_fail"),
    ],
)
def test_each_rule_finds_its_cause(total: LoaderMetrics, workers: int, code: str) -> None:
    """And no other one does."""
    assert codes(total, workers) == [code]


def test_a_fall_of_the_hit_rate_is_an_insight_and_a_metric_of_alerts() -> None:
    """Of the last hour against the day before it, where both have enough look-ups."""
    fell = HitRateWindow(Lookups(60, 60), Lookups(900, 100))
    assert round(fell.fall or 0, 3) == 0.4
    assert codes(LoaderMetrics(), 1, fell) == ["hit_rate_fell"]
    assert HitRateWindow(Lookups(10, 10), Lookups(900, 100)).fall is None
    assert codes(LoaderMetrics(), 1, HitRateWindow(Lookups(850, 150), Lookups(900, 100))) == []


def test_a_strategy_that_is_surely_better_is_an_insight() -> None:
    """Once the ranges are apart."""
    near = compared({"sieve/0.8": (60, 140), "lru/0.8": (58, 142)})
    far = compared({"sieve/0.8": (6000, 4000), "lru/0.8": (5000, 5000)})

    assert codes(LoaderMetrics(), 2, QUIET, *near) == []
    assert codes(LoaderMetrics(), 2, QUIET, *far) == ["strategy_better"]


async def test_the_default_alert_fires_when_the_hit_rate_falls() -> None:
    """Once agents are asked for that no worker holds, where nine in ten look-ups had hit; not while nothing happens."""
    app = App(AGENT_CACHE_SIZE=5, AGENT_CACHE_TRUST_S=86_400 * 7, PRELOAD_SHARE=0)
    for number in range(120):
        await app.services.agents.administration.declare(W, f"a{number}", spec(), app.signals)
    resolver, rates = app.services.agents.resolver, app.services.metrics.hit_rates
    await app.services.notifications.channels.put(W, "ops", ChannelRequest("https://hooks.example.com/x"))
    await rates.note([W])
    idle = await firing(app)
    for number in range(200):
        await resolver.resolve(W, f"a{number % 3}", app.signals)
    app.clock.move(minutes=10)
    await rates.note([W])
    app.clock.move(minutes=65)
    steady = await firing(app)
    for number in range(120):
        await resolver.resolve(W, f"a{number}", app.signals)
    app.clock.move(minutes=10)
    now = app.clock()
    read = app.services.alerts.sources.others["cache_hit_rate_fall"]
    figures = await read(W, now - timedelta(minutes=10), now)
    fallen = await firing(app)
    await rates.note([W])
    for number in range(1200):
        await resolver.resolve(W, f"a{118 + number % 2}", app.signals)
    app.clock.move(minutes=60)

    assert figures["cache_hit_rate_fall"] > 0.9
    assert (idle, steady, fallen) == ([], [], ["default-hit-rate"])
    assert await firing(app) == [], "the agents asked for are held again"


async def firing(app: App) -> list[str]:
    """Evaluate the alert rules, and return those that fire."""
    await app.services.alerts.evaluator.evaluate()
    return [one.alert for one in (await app.services.alerts.store.fired(W, 100))[0] if one.resolved_at is None]
