"""Performance of agents, and insights."""

from __future__ import annotations

from triggers.http.endpoint import PAGING, Endpoint, days

_RANGE = days("six days before the last")

ENDPOINTS = (
    Endpoint(
        "GET",
        "performance",
        "performance_list",
        "List the performance of every agent that had runs, up to now.",
        returns="PerformancePage",
        query=PAGING | _RANGE,
    ),
    Endpoint(
        "GET",
        "performance/{agent}",
        "performance_get",
        "Get the performance of an agent, up to now: in total, by version, over time, and against its service level.",
        returns="PerformanceView",
        query=_RANGE,
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "performance/{agent}/insights",
        "performance_insights",
        "Get insights about an agent: causes and recommendations, most severe first.",
        returns="InsightsView",
        query=_RANGE,
        errors=(404,),
    ),
)
