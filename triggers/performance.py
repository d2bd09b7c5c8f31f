"""HTTP: how agents perform, and what that says."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from kernel.ids import agent_name
from llmops.performance.insights import insights_of
from llmops.performance.monitor import check_days
from triggers.agents import PAGING
from triggers.api import Endpoint, Reply, page_token
from triggers.days import day
from triggers.views.base import Page
from triggers.views.performance import AgentFiguresView, FiguresView, InsightsView, PerformanceView

if TYPE_CHECKING:
    from bootstrap.services import Services
    from triggers.api import Api, Call

RANGE = {
    "from": "First UTC day, like 2026-11-01; six days before the last unless given.",
    "to": "Last UTC day, included; today unless given.",
}


class PerformancePage(Page[AgentFiguresView]):
    """Agents by name, with what they did."""


def register(api: Api, services: Services) -> None:
    """Add the endpoints of performance."""

    def asked(call: Call) -> tuple[date, date]:
        last = day(call.query("to"), "to") or services.clock().date()
        first = day(call.query("from"), "from") or last - timedelta(days=6)
        check_days(first, last)
        return first, last

    @api.handle(
        Endpoint(
            "GET",
            "performance",
            "performance_list",
            "List what every agent that had runs did, up to this moment.",
            returns=PerformancePage,
            query=PAGING | RANGE,
        )
    )
    async def listing(call: Call) -> Reply:
        first, last = asked(call)
        after, limit = call.cursor(agent_name) or "", call.limit()
        found = [each for each in await services.monitor.agents(call.workspace, first, last) if each[0] > after]
        items = [
            AgentFiguresView(agent=name, figures=FiguresView.from_summary(summary)) for name, summary in found[:limit]
        ]
        more = page_token(items[-1].agent) if len(found) > limit else None
        return Reply(PerformancePage(items=items, next=more))

    @api.handle(
        Endpoint(
            "GET",
            "performance/{agent}",
            "performance_get",
            "How an agent performed, up to this moment: in all, by version, over time, against its service level.",
            returns=PerformanceView,
            query=RANGE,
            errors=(404,),
        )
    )
    async def get(call: Call) -> Reply:
        first, last = asked(call)
        agent = await services.catalog.get(call.workspace, agent_name(call.route("agent")))
        target = services.sla.but(agent.declaration.spec.sla)
        performance = await services.monitor.agent(call.workspace, agent.name, first, last, target)
        return Reply(PerformanceView.from_performance(performance, _hours(first, last, services.clock())))

    @api.handle(
        Endpoint(
            "GET",
            "performance/{agent}/insights",
            "performance_insights",
            "What an agent's figures say: causes and recommendations, the worst first.",
            returns=InsightsView,
            query=RANGE,
            errors=(404,),
        )
    )
    async def insights(call: Call) -> Reply:
        first, last = asked(call)
        agent = await services.catalog.get(call.workspace, agent_name(call.route("agent")))
        target = services.sla.but(agent.declaration.spec.sla)
        facts = await services.insights.facts(call.workspace, agent.name, first, last, target)
        return Reply(InsightsView.from_insights(agent.name, first, last, insights_of(facts)))


def _hours(first: date, last: date, now: datetime) -> float:
    """Return how many hours of these days have passed, at least one minute's worth."""
    begin = datetime.combine(first, time(), UTC)
    end = min(now, datetime.combine(last, time(), UTC) + timedelta(days=1))
    return max((end - begin).total_seconds(), 60) / 3600
