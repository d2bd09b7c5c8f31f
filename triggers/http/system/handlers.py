"""Handlers of system."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence

from bootstrap.services import Services
from kernel.errors import AppError
from kernel.ids import agent_name
from kernel.tables import Span
from lifecycle.metrics.current_activity import Current
from lifecycle.registry.agent_counts import LifecycleTotals
from lifecycle.status.health_checks import Status
from lifecycle.status.workspace_readings import Today
from llmops.spend.costs import check_range
from triggers.http.agents.views import AgentStatsView
from triggers.http.days import day_range
from triggers.http.handler_call import Call, Reply, page_token
from triggers.http.system.views import AnalyticsView, HealthView, LifecycleView, StatsPage, SystemStatusView

_HOURS = 24


async def _registry(call: Call) -> tuple[LifecycleTotals, Mapping[str, int]]:
    lifecycle, plan = await asyncio.gather(
        call.services.metrics.lifecycle_counts.read(call.workspace, call.services.core.clock(), _HOURS),
        call.services.drift.plans.latest(call.workspace),
    )
    return lifecycle, plan.counts if plan else {}


async def _look(call: Call, today: Today) -> Status:
    return await call.services.status.system.look(today, call.queue, call.services.runs.dead_letters(call.queue))


_PATIENCE_S = 5


async def _warnings(services: Services) -> Sequence[str]:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            unpriced = await services.budgets.rates.unpriced()
    except (AppError, TimeoutError):
        return ()  # unreachable tables are reported elsewhere
    return (f"{unpriced} models without a known price were called in the last day",) if unpriced else ()


async def _reachable(question: Awaitable[object]) -> str:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await question
    except AppError as error:
        return error.code
    except TimeoutError:
        return "timeout"
    return "ok"


async def metrics(call: Call) -> Reply:
    from lifecycle.metrics.stored_gauges import capacity_samples, of_teams, samples  # noqa: PLC0415 - only for this answer
    from lifecycle.teams.status import WINDOW  # noqa: PLC0415 - see above
    from llmops.metrics.definitions import BY_NAME  # noqa: PLC0415 - see above
    from llmops.metrics.exposition import CONTENT_TYPE, exposition  # noqa: PLC0415 - see above

    services, workspace = call.services, call.workspace
    activity, now = services.alerts.activity, services.core.clock()
    (
        (counted, (lifecycle, drift)),
        (current, approvals),
        (teams, handoffs, routes, pools),
    ) = await asyncio.gather(
        asyncio.gather(services.metrics.workers.read(workspace), _registry(call)),
        asyncio.gather(activity.read(workspace, now), activity.approvals(workspace, now)),
        asyncio.gather(
            services.teams.figures.read(workspace, now - WINDOW),
            services.events.daily_counts.handoffs(workspace),
            services.routing.statuses.all(workspace),
            services.capacity.usage.all(workspace),
        ),
    )
    text = exposition(
        [
            *((BY_NAME[key[0]], key[1:], numbers) for key, numbers in counted.items()),
            *samples(lifecycle, drift, current, approvals),
            *of_teams(teams, handoffs),
            *capacity_samples(routes, pools),
        ]
    )
    return Reply(text, headers={"Cache-Control": "no-store"}, mimetype=CONTENT_TYPE)


async def stats(call: Call) -> Reply:
    (agents, after), (lifecycle, drift) = await asyncio.gather(
        call.services.agents.catalog.list(call.workspace, call.limit(), call.cursor(agent_name)),
        _registry(call),
    )
    items = [AgentStatsView.from_agent(agent) for agent in agents]
    view = LifecycleView.from_counts(lifecycle, drift)
    return Reply(StatsPage(items=items, next=page_token(after), lifecycle=view))


async def status(call: Call) -> Reply:
    today = call.services.status.today(call.workspace)
    status, current = await asyncio.gather(_look(call, today), _current(call))
    return Reply(SystemStatusView.of_both(status, current), 200, {"Cache-Control": "no-store"})


async def _current(call: Call) -> Current | None:
    """Return what goes on; None where that cannot be said now."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await call.services.alerts.activity.read(call.workspace, call.services.core.clock())
    except (AppError, TimeoutError):
        return None


async def analytics(call: Call) -> Reply:
    first, last = day_range(call)
    check_range(first, last)
    today = call.services.status.today(call.workspace)
    found, health = await asyncio.gather(call.services.status.analytics.read(today, first, last), _look(call, today))
    return Reply(AnalyticsView.from_analytics(found, health))


async def health(call: Call) -> Reply:
    tables, messages, warnings = await asyncio.gather(
        _reachable(call.services.core.tables.query("agents", Span("_health"), limit=1)),
        _reachable(call.queue.dead(1)),
        _warnings(call.services),
    )
    components = {"tables": tables, "queue": messages}
    healthy = all(state == "ok" for state in components.values())
    view = HealthView(status="healthy" if healthy else "unhealthy", components=components, warnings=warnings)
    return Reply(view, 200 if healthy else 503, {"Cache-Control": "no-store"})


async def openapi(call: Call) -> Reply:
    return Reply(call.api.documents[0])


_PAGE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


async def docs(call: Call) -> Reply:
    return Reply(call.api.documents[1], headers=_PAGE, mimetype="text/html")
