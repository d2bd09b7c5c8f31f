"""HTTP: reports of days, weeks and months."""

from __future__ import annotations

from datetime import date

from bootstrap.services import Services
from kernel.errors import InvalidInput
from llmops.reports.periods import parse_kind, parse_period
from triggers.agents import PAGING
from triggers.api import Api, Call, Endpoint, Reply, page_token
from triggers.views.base import Page
from triggers.views.reports import ReportView, SummaryView

_FORMATS = ("json", "csv", "html")
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


class ReportPage(Page[SummaryView]):
    """Periods in which anything was spent, newest first."""


def register(api: Api, services: Services) -> None:
    """Add the endpoints of reports."""

    @api.handle(
        Endpoint(
            "GET",
            "reports",
            "reports_list",
            "List the days, weeks or months in which anything was spent, newest first.",
            returns=ReportPage,
            query=PAGING | {"period": "day (default), week or month."},
        )
    )
    async def listing(call: Call) -> Reply:
        kind, before = parse_kind(call.query("period") or "day"), call.cursor(date.fromisoformat)
        found, earlier = await services.reports.list(call.workspace, kind, call.limit(), before)
        after = page_token(earlier.isoformat() if earlier else None)
        return Reply(ReportPage(items=[SummaryView.from_summary(one) for one in found], next=after))

    @api.handle(
        Endpoint(
            "GET",
            "reports/{period}",
            "reports_get",
            "Get the report of a day (2026-11-21), an ISO week (2026-W47) or a month (2026-11).",
            returns=ReportView,
            formats=("text/csv", "text/html"),
            query={"format": "json (default), csv or html."},
            errors=(404,),
        )
    )
    async def get(call: Call) -> Reply:
        wanted = call.query("format") or "json"
        if wanted not in _FORMATS:
            allowed = ", ".join(_FORMATS)
            raise InvalidInput(f"format is one of: {allowed}.", code="invalid_format", fields={"format": allowed})
        report = await services.reports.get(call.workspace, parse_period(call.route("period")))
        if wanted == "csv":
            from llmops.reports.sheets import to_csv  # noqa: PLC0415 - only this answer needs it

            disposition = f'attachment; filename="costs-{report.period.key}.csv"'
            return Reply(to_csv(report), 200, {"Content-Disposition": disposition}, "text/csv")
        if wanted == "html":
            from llmops.reports.pages import to_html  # noqa: PLC0415 - only this answer needs it

            return Reply(to_html(report), 200, {"Content-Security-Policy": _PAGE_POLICY}, "text/html")
        return Reply(ReportView.of(report))
