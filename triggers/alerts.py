"""HTTP: alert rules, and the alerts that fired."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kernel.ids import newest_first_key
from llmops.alerts.rules import AlertRule, alert_name
from triggers.agents import PAGING
from triggers.api import Endpoint, Reply, page_token
from triggers.views.alerts import AlertView, FiringView
from triggers.views.base import Page

if TYPE_CHECKING:
    from bootstrap.services import Services
    from triggers.api import Api, Call


class AlertPage(Page[AlertView]):
    """Alert rules by name."""


class FiringPage(Page[FiringView]):
    """Alerts that fired, newest first."""


def register(api: Api, services: Services) -> None:
    """Add the endpoints of alerts."""
    _register_reading(api, services)

    @api.handle(
        Endpoint(
            "PUT",
            "alerts/{name}",
            "alerts_put",
            "Set an alert rule. Setting it to the same again changes nothing.",
            body=AlertRule,
            returns=AlertView,
            also=201,
            errors=(409, 412),
        )
    )
    async def put(call: Call) -> Reply:
        name = alert_name(call.route("name"))
        alert, new = await services.alerts.put(call.workspace, name, call.body, call.header("if-match"))
        standing = await services.alerts.standing(call.workspace, name)
        headers = {"ETag": alert.etag} | ({"Location": f"/api/alerts/{name}"} if new else {})
        return Reply(AlertView.from_alert(alert, standing), 201 if new else 200, headers)

    @api.handle(
        Endpoint(
            "DELETE",
            "alerts/{name}",
            "alerts_delete",
            "Remove an alert rule; if it fires, the next evaluation resolves it. What fired stays in the history.",
            status=204,
            errors=(404, 412),
        )
    )
    async def delete(call: Call) -> Reply:
        await services.alerts.delete(call.workspace, alert_name(call.route("name")), call.header("if-match"))
        return Reply(status=204)


def _register_reading(api: Api, services: Services) -> None:
    @api.handle(Endpoint("GET", "alerts", "alerts_list", "List alert rules by name.", returns=AlertPage, query=PAGING))
    async def listing(call: Call) -> Reply:
        alerts, after = await services.alerts.list(call.workspace, call.limit(), call.cursor(alert_name))
        standings = await asyncio.gather(*(services.alerts.standing(call.workspace, each.name) for each in alerts))
        items = [AlertView.from_alert(alert, standing) for alert, standing in zip(alerts, standings, strict=True)]
        return Reply(AlertPage(items=items, next=page_token(after)))

    @api.handle(
        Endpoint(
            "GET",
            "alerts/fired",
            "alerts_fired",
            "List alerts that fired, newest first.",
            returns=FiringPage,
            query=PAGING,
        )
    )
    async def fired(call: Call) -> Reply:
        firings, after = await services.alerts.fired(call.workspace, call.limit(), call.cursor(newest_first_key))
        return Reply(FiringPage(items=[FiringView.of(each) for each in firings], next=page_token(after)))

    @api.handle(Endpoint("GET", "alerts/{name}", "alerts_get", "Get an alert rule.", returns=AlertView, errors=(404,)))
    async def get(call: Call) -> Reply:
        alert = await services.alerts.get(call.workspace, alert_name(call.route("name")))
        standing = await services.alerts.standing(call.workspace, alert.name)
        return Reply(AlertView.from_alert(alert, standing), headers={"ETag": alert.etag})
