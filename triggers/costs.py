"""HTTP: costs."""

from __future__ import annotations

from bootstrap.services import Services
from llmops.spend.costs import check_range, costs_of, group_by
from triggers.api import Api, Call, Endpoint, Reply
from triggers.days import day
from triggers.views.costs import CostsView


def register(api: Api, services: Services) -> None:
    """Add the endpoint of costs."""

    @api.handle(
        Endpoint(
            "GET",
            "costs",
            "costs",
            "What was spent, up to this moment.",
            returns=CostsView,
            query={
                "from": "First UTC day, like 2026-11-01; today unless given.",
                "to": "Last UTC day, included; today unless given.",
                "group_by": "agent (default), model, provider, user, purpose (answer or evaluation) or day.",
            },
        )
    )
    async def costs(call: Call) -> Reply:
        today = services.clock().date()
        last = day(call.query("to"), "to") or today
        first = day(call.query("from"), "from") or min(today, last)
        check_range(first, last)
        grouping = group_by(call.query("group_by") or "agent")
        sums = await services.daily_costs.sums(call.workspace, first, last, today)
        return Reply(CostsView.from_costs(costs_of(sums, first, last, grouping)))
