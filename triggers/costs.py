"""HTTP: costs and reports."""

from __future__ import annotations

from datetime import date

from bootstrap.services import Services
from kernel.errors import NotFound
from llmops.spend.costs import check_range, costs_of, group_by
from triggers.agents import PAGING
from triggers.api import Api, Call, Endpoint, Reply, page_token
from triggers.days import day
from triggers.views.base import Page
from triggers.views.costs import CostsView, ReportView


class ReportPage(Page[ReportView]):
    """Daily reports, newest first."""


def register(api: Api, services: Services) -> None:
    """Add the endpoints of costs and reports."""

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
                "group_by": "agent (default), model, provider, user or day.",
            },
        )
    )
    async def costs(call: Call) -> Reply:
        today = services.clock().date()
        last = day(call.query("to"), "to") or today
        first = day(call.query("from"), "from") or min(today, last)
        check_range(first, last)
        grouping = group_by(call.query("group_by") or "agent")
        sums = await services.reports.sums(call.workspace, first, last, today)
        return Reply(CostsView.from_costs(costs_of(sums, first, last, grouping)))

    @api.handle(Endpoint("GET", "reports", "reports_list", "List daily reports.", returns=ReportPage, query=PAGING))
    async def listing(call: Call) -> Reply:
        before = call.cursor(date.fromisoformat)
        reports, earlier = await services.reports.list(call.workspace, call.limit(), before)
        after = page_token(earlier.isoformat() if earlier else None)
        return Reply(ReportPage(items=[ReportView.of(report) for report in reports], next=after))

    @api.handle(
        Endpoint(
            "GET", "reports/{day}", "reports_get", "Get the report of a UTC day.", returns=ReportView, errors=(404,)
        )
    )
    async def get(call: Call) -> Reply:
        wanted = day(call.route("day"), "day")
        report = await services.reports.get(call.workspace, wanted) if wanted else None
        if report is None:
            raise NotFound("There is no report of that day (yet).", code="report_not_found")
        return Reply(ReportView.of(report))
