"""Handlers of the loader."""

from __future__ import annotations

import asyncio

from kernel.errors import InvalidInput
from kernel.ids import agent_name
from triggers.http.handler_call import Call, Reply, index, page_token
from triggers.http.loader.views import (
    ActivityPage,
    ActivityView,
    LoaderMetricsView,
    LoaderView,
    OptimizeView,
    PreloadView,
    ReplayView,
    StepView,
    StrategyView,
    WhatIfView,
    WorkerView,
)
from triggers.http.performance.views import InsightView


async def loader(call: Call) -> Reply:
    state = await call.services.agents.loader_overview.state(call.workspace)
    workers = [
        WorkerView(
            worker=one.worker, at=one.at, metrics=LoaderMetricsView.from_metrics(one.metrics), strategy=one.strategy
        )
        for one in state.workers
    ]
    total = LoaderMetricsView.from_metrics(state.total)
    strategies = [StrategyView.of(one) for one in state.strategies]
    insights = [InsightView.of(one) for one in state.insights]
    return Reply(LoaderView.of(state, total=total, workers=workers, strategies=strategies, insights=insights))


async def loader_activity(call: Call) -> Reply:
    first, limit = call.cursor(index) or 0, call.limit()
    found = await call.services.agents.loader_overview.activity(call.workspace)
    items = [ActivityView.from_report(one) for one in found[first : first + limit]]
    more = page_token(first + limit) if len(found) > first + limit else None
    return Reply(ActivityPage(items=items, next=more))


async def loader_what_if(call: Call) -> Reply:
    found = await call.services.agents.loader_overview.what_if(
        call.workspace,
        policy=call.query("policy"),
        capacity=_number(call, "capacity"),
        workers=_number(call, "workers") or 1,
        hours=_number(call, "hours") or 24,
        most=_number(call, "most") or 500,
    )
    replays = [ReplayView.from_replay(policy, one) for policy, one in found.replays.items()]
    return Reply(
        WhatIfView.of(
            found,
            replays=replays,
            clairvoyant_hit_rate=found.clairvoyant.hit_rate,
            static_hit_rate=found.static.hit_rate,
        )
    )


async def loader_preload(call: Call) -> Reply:
    services = call.services
    if call.body.agents is None:
        plan = await services.agents.preloader.optimize(only=call.workspace)
        asked = [step.key for step in plan.preloads]
    else:
        asked = [(call.workspace, agent_name(name)) for name in dict.fromkeys(call.body.agents)]
        await asyncio.gather(*(services.agents.catalog.get(*key) for key in asked))
        await services.agents.rankings.request(asked)
        await services.agents.preloader.preload(asked)
    held = [name for workspace, name in asked if (workspace, name) in services.agents.resolver.cache]
    return Reply(PreloadView(asked=[name for _, name in asked], held=held))


async def loader_optimize(call: Call) -> Reply:
    text = call.query("dry_run") or "true"
    if text not in ("true", "false"):
        raise InvalidInput("'dry_run' is true or false.", code="invalid_flag", fields={"dry_run": "true or false"})
    plan = await call.services.agents.preloader.optimize(dry_run=text == "true", only=call.workspace)
    return Reply(OptimizeView(dry_run=text == "true", items=[StepView.from_step(step) for step in plan.steps]))


def _number(call: Call, name: str) -> int | None:
    text = call.query(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text[:9]) >= 1):
        rule = "a whole number of at least 1"
        raise InvalidInput(f"'{name}' is {rule}.", code="invalid_setting", fields={f"/{name}": rule})
    return int(text[:9])
