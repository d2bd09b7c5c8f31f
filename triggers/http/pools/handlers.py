"""Handlers of pools and resources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kernel.errors import InvalidInput
from kernel.ids import agent_name
from llmops.capacity.pools import pool_of
from llmops.capacity.worker_resources import MOST_HOURS
from llmops.spend.costs import check_range, costs_of
from triggers.http.costs.views import CostsView
from triggers.http.days import day_range
from triggers.http.handler_call import Call, Reply, page_token
from triggers.http.pools.views import (
    PoolBody,
    PoolPage,
    PoolView,
    ResourceHistoryView,
    ResourceHourView,
    ResourceUseView,
)


def _name(value: Any) -> str:
    return agent_name(value)  # names of pools follow the rules of agent names


async def pools_list(call: Call) -> Reply:
    found, after = await call.services.capacity.pools.list(call.workspace, call.limit(), call.cursor(_name))
    return Reply(PoolPage(items=[PoolView.from_pool(pool) for pool, _ in found], next=page_token(after)))


async def pools_get(call: Call) -> Reply:
    pool, etag = await call.services.capacity.pools.get(call.workspace, _name(call.route("name")))
    usage = await call.services.capacity.usage.of(call.workspace, pool)
    return Reply(PoolView.from_pool(pool, usage), headers={"ETag": etag, "Cache-Control": "no-store"})


async def pools_put(call: Call) -> Reply:
    body: PoolBody = call.body
    pool = body.of(_name(call.route("name")))
    etag, new = await call.services.capacity.pools.put(call.workspace, pool, call.header("if-match"))
    usage = await call.services.capacity.usage.of(call.workspace, pool)
    return Reply(PoolView.from_pool(pool, usage), 201 if new else 200, {"ETag": etag})


async def pools_delete(call: Call) -> Reply:
    name = _name(call.route("name"))
    await call.services.capacity.pools.delete(call.workspace, name, call.header("if-match"))
    return Reply(status=204)


async def pools_costs(call: Call) -> Reply:
    name, capacity = _name(call.route("name")), call.services.capacity
    await capacity.pools.get(call.workspace, name)
    first, last = day_range(call)
    check_range(first, last)
    pools = await capacity.pools.of(call.workspace, refresh=True)
    today = call.services.core.clock().date()
    sums = await call.services.spend.daily_costs.sums(call.workspace, first, last, today)
    labels: dict[str, Mapping[str, str]] = {}
    for agent in {group.agent for groups in sums.values() for group in groups}:
        found = await call.services.agents.catalog.find(call.workspace, agent)
        labels[agent] = found.declaration.spec.labels if found else {}
    members = {agent for agent in labels if (pool := pool_of(pools, agent, labels[agent])) and pool.name == name}
    of_pool = {
        day: {group: spend for group, spend in groups.items() if group.agent in members} for day, groups in sums.items()
    }
    return Reply(CostsView.from_costs(costs_of(of_pool, first, last, "agent")))


async def resources(call: Call) -> Reply:
    found = await call.services.capacity.resources.now(call.workspace)
    return Reply(ResourceUseView.from_resources(found), headers={"Cache-Control": "no-store"})


async def resources_history(call: Call) -> Reply:
    text = call.query("hours") or "24"
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_HOURS):
        rule = f"a number from 1 to {MOST_HOURS}"
        raise InvalidInput(f"'hours' is {rule}.", code="invalid_hours", fields={"hours": rule})
    found = await call.services.capacity.resources.history(call.workspace, int(text))
    return Reply(ResourceHistoryView(items=[ResourceHourView.from_hour(hour) for hour in found]))
