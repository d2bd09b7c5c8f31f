"""A client repeats a commit whose answer was lost; refused by its own ETag, it is not taken for somebody else's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from llmops.alerts.alert_rules import AlertRule, RuleStatus, State
from llmops.alerts.store import AlertStore
from llmops.budgets.budget_rules import Budget, Limit, Scope
from llmops.budgets.store import BudgetStore
from llmops.capacity.pool_store import PoolStore
from llmops.capacity.pools import Amounts, Limits, Pool
from llmops.capacity.scaler import ScalingStore
from llmops.capacity.scaling_forecast import ScalingPolicy
from llmops.capacity.session_limit import SessionClaims
from llmops.capacity.slice_messages import Request, Want
from llmops.routing.deployment_health import Health
from llmops.routing.route import Deployment, Route
from llmops.routing.router import Failure, RouteCall, Router
from llmops.routing.store import RouteStore
from llmops.spend.pricing import Rate
from llmops.spend.rate_store import RateStore
from tests.lifecycle.doubles import NOW, ManualClock, RepeatingTables

TRUST = timedelta(seconds=5)
Story = Callable[[RepeatingTables], Awaitable[list[Any]]]
"""What somebody does who reads and changes, and what comes of it; every ETag is that of the change before."""


async def of_budgets(tables: RepeatingTables) -> list[Any]:
    store, scope = BudgetStore(tables, ManualClock(), TRUST), Scope("workspace")
    etag, new = await store.put("w", Budget(scope, (Limit("usd", "day", 1),)), None)
    etag, again = await store.put("w", Budget(scope, (Limit("usd", "day", 2),)), etag)
    kept = await store.of("w")
    await store.delete("w", scope, etag)
    return [new, again, kept, await store.of("w")]


async def of_rates(tables: RepeatingTables) -> list[Any]:
    store = RateStore(tables, ManualClock(), TRUST)
    etag, new = await store.put("w", Rate("m", Decimal(1)), None)
    etag, again = await store.put("w", Rate("m", Decimal(2)), etag)
    kept, _ = await store.get("w", "m")
    await store.delete("w", "m", etag)
    return [new, again, kept, await store.list("w", 9)]


async def of_routes(tables: RepeatingTables) -> list[Any]:
    store = RouteStore(tables)
    etag, new = await store.put("w", Route("r", (Deployment("a", "openai", "m"),)), None)
    etag, again = await store.put("w", Route("r", (Deployment("b", "openai", "m"),)), etag)
    kept, _ = await store.get("w", "r")
    await store.delete("w", "r", etag)
    return [new, again, kept, await store.list("w", 9)]


async def of_pools(tables: RepeatingTables) -> list[Any]:
    store = PoolStore(tables, ManualClock(), TRUST)
    limits = Limits(concurrent_runs=1)
    etag, new = await store.put("w", Pool("p", agents=("a", "b"), limits=limits), None)
    etag, again = await store.put("w", Pool("p", agents=("b", "c"), limits=limits), etag)
    kept, _ = await store.get("w", "p")
    await store.put("w", Pool("q", agents=("a",), limits=limits), None)  # it has been given up there
    await store.delete("w", "p", etag)
    return [new, again, kept, [pool.name for pool in await store.of("w", refresh=True)]]


async def of_slices(tables: RepeatingTables) -> list[Any]:
    """What a worker is granted is granted once, and what it has used is counted once."""
    store = PoolStore(tables, ManualClock(), TRUST)
    await store.put("w", Pool("p", agents=("a",), limits=Limits(tokens_per_minute=100)), None)
    now, wants = NOW.timestamp(), [Want(1, "", Amounts(0, 30, 0))]
    first, _, _ = await store.exchange("w", "p", Request("one", 1, wants=wants), now)
    used = {int(now): {"": Amounts(0, 30, 0)}}
    second, _, _ = await store.exchange("w", "p", Request("one", 2, spent=used, wants=wants), now)
    other, _, state = await store.exchange("w", "p", Request("two", 1, wants=wants), now)
    return [first.held, second.held, other.held, state.spent]


async def of_sessions(tables: RepeatingTables) -> list[Any]:
    async def open_sessions(workspace: str, agent: str) -> list[str]:
        return []

    claims, clock = SessionClaims(tables, ManualClock(), open_sessions), ManualClock()
    clock.move(hours=1)
    pool = Pool("p", agents=("a",), limits=Limits(open_sessions=2))
    await claims.enter("w", pool, "a", "s1")
    await claims.enter("w", pool, "a", "s2")
    entered = await claims.count("w", "p")
    return [entered, await SessionClaims(tables, clock, open_sessions).sweep("w", "p"), await claims.count("w", "p")]


async def of_scaling(tables: RepeatingTables) -> list[Any]:
    store = ScalingStore(tables)
    etag = await store.put(ScalingPolicy(), None)
    await store.put(ScalingPolicy(min_instances=3), etag)
    await store.change(lambda state: state.update(applied="now"))
    return [(await store.policy())[0], await store.state()]


async def of_alerts(tables: RepeatingTables) -> list[Any]:
    clock = ManualClock()
    store = AlertStore(tables, clock)
    first, new = await store.put("w", "a", AlertRule(metric="runs", condition="gt", threshold=1))
    second, again = await store.put("w", "a", AlertRule(metric="runs", condition="gt", threshold=2), first.etag)
    stands = await store.save(second, None, State(RuleStatus.OK, NOW), None)
    fires = await store.save(second, stands, State(RuleStatus.FIRING, NOW, 3, unpublished=True), None)
    await store.delete("w", "a", second.etag)
    stored = [alert async for alert in store.all()]
    return [new, again, second.revision, fires and fires.state, [(one.revision, one.deleted) for one in stored]]


async def of_breakers(tables: RepeatingTables) -> list[Any]:
    """A failure counts once, a probe is granted to one, and its answer closes the breaker."""
    clock, store = ManualClock(), RouteStore(tables)
    await store.put("w", Route("r", (Deployment("a", "openai", "m"),)), None)
    router = Router(store, clock, "worker", refresh=timedelta(0))
    health: list[Health] = []
    for _ in range(3):
        one = await router.choose(RouteCall("w", "r", "s", 100))
        await router.failed(one, Failure("failed", "provider_unavailable"))
        health.append((await store.read("w", "r", clock())).shared.health["a"])
        clock.move(seconds=1)
    clock.move(seconds=11)
    probe = await router.choose(RouteCall("w", "r", "s", 100))
    health.append((await store.read("w", "r", clock())).shared.health["a"])
    probe.done = True
    await router.answered(probe)
    return [health, (await store.read("w", "r", clock())).shared.health["a"]]


STORIES = (
    of_budgets,
    of_rates,
    of_routes,
    of_pools,
    of_slices,
    of_sessions,
    of_scaling,
    of_alerts,
    of_breakers,
)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_a_commit_that_is_repeated_changes_nothing_of_what_comes(story: Story) -> None:
    """Whichever of them it is."""
    plain = RepeatingTables()
    expected = await story(plain)

    for at in range(1, plain.count + 1):
        tables = RepeatingTables()
        tables.at = at
        assert await story(tables) == expected, f"commit {at} of {plain.count}"
