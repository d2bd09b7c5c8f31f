"""HTTP: metrics as Prometheus text, and the same of agents as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bootstrap.services import Services
from kernel.ids import agent_name
from triggers.agents import PAGING
from triggers.api import Api, Call, Endpoint, Reply, page_token
from triggers.views.agents import AgentStatsView
from triggers.views.base import Page
from triggers.views.metrics import LifecycleView

if TYPE_CHECKING:
    from lifecycle.registry.counts import Lifecycle

_HOURS = 24


class StatsPage(Page[AgentStatsView]):
    """Statistics of agents by name, and of all of them together."""

    lifecycle: LifecycleView


def register(api: Api, services: Services) -> None:
    """Add the endpoints of metrics."""

    @api.handle(
        Endpoint("GET", "metrics", "metrics", "The workspace's metrics as Prometheus text.", mimetype="text/plain")
    )
    async def metrics(call: Call) -> Reply:
        from lifecycle.measures.gauges import samples  # noqa: PLC0415 - 0.1 s that only this one answer needs
        from llmops.metrics.definitions import BY_NAME  # noqa: PLC0415 - see above
        from llmops.metrics.exposition import CONTENT_TYPE, exposition  # noqa: PLC0415 - see above

        counted, (lifecycle, drift) = await asyncio.gather(
            services.metrics.read(call.workspace), _registry(services, call.workspace)
        )
        text = exposition(
            [
                *((BY_NAME[key[0]], key[1:], numbers) for key, numbers in counted.items()),
                *samples(lifecycle, drift),
            ]
        )
        return Reply(text, headers={"Cache-Control": "no-store"}, mimetype=CONTENT_TYPE)

    @api.handle(
        Endpoint("GET", "stats", "stats", "How agents are used, by name and in all.", returns=StatsPage, query=PAGING)
    )
    async def stats(call: Call) -> Reply:
        (agents, after), (lifecycle, drift) = await asyncio.gather(
            services.catalog.list(call.workspace, call.limit(), call.cursor(agent_name)),
            _registry(services, call.workspace),
        )
        items = [AgentStatsView.from_agent(agent) for agent in agents]
        view = LifecycleView.from_counts(lifecycle, drift)
        return Reply(StatsPage(items=items, next=page_token(after), lifecycle=view))


async def _registry(services: Services, workspace: str) -> tuple[Lifecycle, Mapping[str, int]]:
    lifecycle, plan = await asyncio.gather(
        services.lifecycle_counts.read(workspace, services.clock(), _HOURS), services.plans.latest(workspace)
    )
    return lifecycle, plan.counts if plan else {}
