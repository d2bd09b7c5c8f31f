"""Handlers of reports."""

from __future__ import annotations

from kernel.errors import InvalidInput
from llmops.reports.periods import parse_kind, parse_period
from triggers.http.days import parse_day
from triggers.http.handler_call import Call, Reply, page_token
from triggers.http.reports.views import ReportPage, ReportView, SummaryView

_FORMATS = ("json", "csv", "html")


_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


async def reports_list(call: Call) -> Reply:
    kind, before = parse_kind(call.query("period") or "day"), call.cursor(parse_day)
    found, earlier = await call.services.reports.store.list(call.workspace, kind, call.limit(), before)
    after = page_token(earlier.isoformat() if earlier else None)
    return Reply(ReportPage(items=[SummaryView.of(one) for one in found], next=after))


async def reports_get(call: Call) -> Reply:
    wanted = call.query("format") or "json"
    if wanted not in _FORMATS:
        allowed = ", ".join(_FORMATS)
        raise InvalidInput(f"format is one of: {allowed}.", code="invalid_format", fields={"format": allowed})
    report = await call.services.reports.store.get(call.workspace, parse_period(call.route("period")))
    if wanted == "csv":
        from llmops.reports.csv_report import to_csv  # noqa: PLC0415 - only this answer needs it

        disposition = f'attachment; filename="costs-{report.period.key}.csv"'
        return Reply(to_csv(report), 200, {"Content-Disposition": disposition}, "text/csv")
    if wanted == "html":
        from llmops.reports.html_report import to_html  # noqa: PLC0415 - only this answer needs it

        return Reply(to_html(report), 200, {"Content-Security-Policy": _PAGE_POLICY}, "text/html")
    return Reply(ReportView.of(report))
