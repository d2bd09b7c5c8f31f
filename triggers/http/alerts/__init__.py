"""Alert rules, and the history of fired alerts."""

from __future__ import annotations

from triggers.http.endpoint import PAGING, Endpoint, Parameter

ENDPOINTS = (
    Endpoint(
        "PUT",
        "alerts/{name}",
        "alerts_put",
        "Set an alert rule; one with the name of a default rule replaces it. Setting the same again changes nothing.",
        body="llmops.alerts.alert_rules:AlertRule",
        returns="AlertView",
        also=201,
        errors=(409, 412),
    ),
    Endpoint(
        "DELETE",
        "alerts/{name}",
        "alerts_delete",
        "Delete an alert rule; an open firing is resolved by the next evaluation. The history stays.",
        status=204,
        errors=(404, 409, 412),
    ),
    Endpoint("GET", "alerts", "alerts_list", "List alert rules by name.", returns="AlertPage", query=PAGING),
    Endpoint(
        "GET",
        "alerts/fired",
        "alerts_fired",
        "List fired alerts, newest first.",
        returns="FiringPage",
        query={
            "open": Parameter(
                "`true` for those only that have not resolved; without it, all.", {"type": "boolean", "default": False}
            ),
            **PAGING,
        },
    ),
    Endpoint("GET", "alerts/{name}", "alerts_get", "Get an alert rule.", returns="AlertView", errors=(404,)),
)
