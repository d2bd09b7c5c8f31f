"""Alert rules, and the alerts that fired."""

from __future__ import annotations

from triggers.http.endpoint import PAGING, Endpoint

ENDPOINTS = (
    Endpoint(
        "PUT",
        "alerts/{name}",
        "alerts_put",
        "Set an alert rule, in the place of a default one too. Setting it to what it is changes nothing.",
        body="llmops.alerts.rules:AlertRule",
        returns="AlertView",
        also=201,
        errors=(409, 412),
    ),
    Endpoint(
        "DELETE",
        "alerts/{name}",
        "alerts_delete",
        "Remove an alert rule; if it fires, the next evaluation resolves it. What fired stays in the history.",
        status=204,
        errors=(404, 409, 412),
    ),
    Endpoint("GET", "alerts", "alerts_list", "List alert rules by name.", returns="AlertPage", query=PAGING),
    Endpoint(
        "GET",
        "alerts/fired",
        "alerts_fired",
        "List alerts that fired, newest first.",
        returns="FiringPage",
        query=PAGING,
    ),
    Endpoint("GET", "alerts/{name}", "alerts_get", "Get an alert rule.", returns="AlertView", errors=(404,)),
)
