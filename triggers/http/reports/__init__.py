"""Reports of days, weeks and months."""

from __future__ import annotations

from triggers.http.endpoint import PAGING, Endpoint, choice

ENDPOINTS = (
    Endpoint(
        "GET",
        "reports",
        "reports_list",
        "List the days, weeks or months in which anything was spent, newest first.",
        returns="ReportPage",
        query=PAGING | {"period": choice("Kind of period; default day.", "day", "week", "month")},
    ),
    Endpoint(
        "GET",
        "reports/{period}",
        "reports_get",
        "Get the report of a day (2026-11-21), an ISO week (2026-W47) or a month (2026-11).",
        returns="ReportView",
        formats=("text/csv", "text/html"),
        query={"format": choice("Format; default json.", "json", "csv", "html")},
        errors=(404,),
    ),
)
