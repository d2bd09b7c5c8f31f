"""Health, status, metrics, analytics, and the description of this API."""

from __future__ import annotations

from triggers.http.endpoint import PAGING, Endpoint, days

ENDPOINTS = (
    Endpoint("GET", "metrics", "metrics", "The workspace's metrics as Prometheus text.", mimetype="text/plain"),
    Endpoint(
        "GET",
        "stats",
        "stats",
        "Get agents' usage statistics, by name and in total.",
        returns="StatsPage",
        query=PAGING,
    ),
    Endpoint(
        "GET",
        "status",
        "status",
        "How the system is: healthy, degraded or critical, with the reason for each part that is not healthy.",
        returns="SystemStatusView",
    ),
    Endpoint(
        "GET",
        "analytics",
        "analytics",
        "Get analytics of some days: sessions, performance, resources, health.",
        returns="AnalyticsView",
        query=days("today"),
    ),
    Endpoint(
        "GET",
        "health",
        "health",
        "Health check: whether the app's dependencies can be reached; 503 when not.",
        returns="HealthView",
        also=503,
        anonymous=True,
    ),
    Endpoint(
        "GET",
        "openapi.json",
        "openapi",
        "This API as an OpenAPI 3.1 document.",
        mimetype="application/json",
        anonymous=True,
    ),
    Endpoint("GET", "docs", "docs", "The same as a page to read.", mimetype="text/html", anonymous=True),
)
