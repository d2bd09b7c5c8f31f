"""Handlers of performance."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from kernel.ids import agent_name
from llmops.performance.insights import insights_of
from llmops.performance.monitor import check_days
from triggers.http.days import day_range
from triggers.http.handler_call import Call, Reply, page_token
from triggers.http.performance.views import (
    AgentFiguresView,
    FiguresView,
    InsightsView,
    PerformancePage,
    PerformanceView,
)


def _asked(call: Call) -> tuple[date, date]:
    first, last = day_range(call, before=6)
    check_days(first, last)
    return first, last


def _hours(first: date, last: date, now: datetime) -> float:
    """Return how many hours of these days have passed; at least one minute."""
    begin = datetime.combine(first, time(), UTC)
    end = min(now, datetime.combine(last, time(), UTC) + timedelta(days=1))
    return max((end - begin).total_seconds(), 60) / 3600


async def performance_list(call: Call) -> Reply:
    first, last = _asked(call)
    after, limit = call.cursor(agent_name) or "", call.limit()
    found = [
        each for each in await call.services.performance.reader.agents(call.workspace, first, last) if each[0] > after
    ]
    items = [AgentFiguresView(agent=name, figures=FiguresView.from_summary(summary)) for name, summary in found[:limit]]
    more = page_token(items[-1].agent) if len(found) > limit else None
    return Reply(PerformancePage(items=items, next=more))


async def performance_get(call: Call) -> Reply:
    first, last = _asked(call)
    agent = await call.services.agents.catalog.get(call.workspace, agent_name(call.route("agent")))
    target = call.services.performance.sla.but(agent.declaration.spec.sla)
    performance = await call.services.performance.reader.agent(call.workspace, agent.name, first, last, target)
    return Reply(PerformanceView.from_performance(performance, _hours(first, last, call.services.core.clock())))


async def performance_insights(call: Call) -> Reply:
    first, last = _asked(call)
    agent = await call.services.agents.catalog.get(call.workspace, agent_name(call.route("agent")))
    target = call.services.performance.sla.but(agent.declaration.spec.sla)
    facts = await call.services.performance.insights.facts(call.workspace, agent.name, first, last, target)
    return Reply(InsightsView.from_insights(agent.name, first, last, insights_of(facts)))
