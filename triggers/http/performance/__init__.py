"""How agents perform, and what that says."""

from __future__ import annotations

from triggers.http.endpoint import PAGING, Endpoint, days

_RANGE = days("six days before the last")

ENDPOINTS = (
    Endpoint(
        "GET",
        "performance",
        "performance_list",
        "List what every agent that had runs did, up to this moment.",
        returns="PerformancePage",
        query=PAGING | _RANGE,
    ),
    Endpoint(
        "GET",
        "performance/{agent}",
        "performance_get",
        "How an agent performed, up to this moment: in all, by version, over time, against its service level.",
        returns="PerformanceView",
        query=_RANGE,
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "performance/{agent}/insights",
        "performance_insights",
        "What an agent's figures say: causes and recommendations, the worst first.",
        returns="InsightsView",
        query=_RANGE,
        errors=(404,),
    ),
)
