"""Handlers of alerts."""

from __future__ import annotations

import asyncio

from kernel.ids import newest_first_key
from llmops.alerts.alert_rules import alert_name
from llmops.alerts.references import AlertTarget
from llmops.alerts.store import Alert, AlertStatus
from triggers.http.alerts.views import AlertPage, AlertView, FiringPage, FiringView
from triggers.http.handler_call import Call, Reply, page_token


def _view(alert: Alert, status: AlertStatus | None, aim: AlertTarget) -> AlertView:
    return AlertView.of(
        alert,
        state=status.state if status else None,
        recipients=aim.recipients,
        misconfigured=aim.missing,
    )


async def _shown(call: Call, alert: Alert) -> AlertView:
    status, (aim,) = await asyncio.gather(
        call.services.alerts.store.state(call.workspace, alert.name),
        call.services.alerts.references.targets(call.workspace, [alert.rule]),
    )
    return _view(alert, status, aim)


async def alerts_put(call: Call) -> Reply:
    name = alert_name(call.route("name"))
    await call.services.alerts.references.check(call.workspace, call.body)
    alert, new = await call.services.alerts.store.put(call.workspace, name, call.body, call.header("if-match"))
    headers = {"ETag": alert.etag} | ({"Location": f"/api/alerts/{name}"} if new else {})
    return Reply(await _shown(call, alert), 201 if new else 200, headers)


async def alerts_delete(call: Call) -> Reply:
    await call.services.alerts.store.delete(call.workspace, alert_name(call.route("name")), call.header("if-match"))
    return Reply(status=204)


async def alerts_list(call: Call) -> Reply:
    alerts, after = await call.services.alerts.store.list(call.workspace, call.limit(), call.cursor(alert_name))
    statuses, aims = await asyncio.gather(
        call.services.alerts.store.states(call.workspace),
        call.services.alerts.references.targets(call.workspace, [alert.rule for alert in alerts]),
    )
    items = [_view(alert, statuses.get(alert.name), aim) for alert, aim in zip(alerts, aims, strict=True)]
    return Reply(AlertPage(items=items, next=page_token(after)))


async def alerts_fired(call: Call) -> Reply:
    store = call.services.alerts.store
    read = store.open_firings if call.flag("open", default=False) else store.fired
    firings, after = await read(call.workspace, call.limit(), call.cursor(newest_first_key))
    return Reply(FiringPage(items=[FiringView.of(each) for each in firings], next=page_token(after)))


async def alerts_get(call: Call) -> Reply:
    alert = await call.services.alerts.store.get(call.workspace, alert_name(call.route("name")))
    return Reply(await _shown(call, alert), headers={"ETag": alert.etag})
