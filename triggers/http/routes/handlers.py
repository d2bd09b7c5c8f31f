"""Handlers of routes."""

from __future__ import annotations

from typing import Any

from kernel.ids import agent_name
from triggers.http.handler_call import Call, Reply, page_token
from triggers.http.routes.views import RouteBody, RoutePage, RouteStatusView, RouteView


def _name(value: Any) -> str:
    return agent_name(str(value))


async def routes_list(call: Call) -> Reply:
    found, after = await call.services.routing.store.list(call.workspace, call.limit(), call.cursor(_name))
    return Reply(RoutePage(items=[RouteView.from_route(route) for route, _ in found], next=page_token(after)))


async def routes_get(call: Call) -> Reply:
    status = await call.services.routing.statuses.of(call.workspace, _name(call.route("name")))
    return Reply(RouteStatusView.from_status(status), headers={"ETag": status.etag, "Cache-Control": "no-store"})


async def routes_put(call: Call) -> Reply:
    body: RouteBody = call.body
    route = body.of(_name(call.route("name")))
    etag, new = await call.services.routing.store.put(call.workspace, route, call.header("if-match"))
    return Reply(RouteView.from_route(route), 201 if new else 200, {"ETag": etag})


async def routes_delete(call: Call) -> Reply:
    await call.services.routing.store.delete(call.workspace, _name(call.route("name")), call.header("if-match"))
    return Reply(status=204)
