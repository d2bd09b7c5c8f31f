"""Handlers of the A2A server."""

from __future__ import annotations

import json
import logging
from collections.abc import MutableMapping
from typing import Any

from triggers.http import asking
from triggers.http.asgi import answered_by
from triggers.http.call import Call, Reply
from triggers.http.jsonrpc import message_of

for _name in ("a2a.server", "a2a.compat", "a2a.utils"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)  # their tracebacks quote what a client sent


async def a2a_card(call: Call) -> Reply:
    from a2a.server.request_handlers.response_helpers import agent_card_to_dict  # noqa: PLC0415 - heavy

    from triggers.http.a2a.tasks import card  # noqa: PLC0415 - heavy

    found = await asking.callee(call, call.route("name"))
    settings = call.services.core.settings
    url = settings.public_url.rstrip("/") or f"{call.request.url.partition('/api/')[0]}/api"
    described = card(found, f"{url}/a2a/{found.name}", signed_in=settings.auth_mode == "entra")
    return Reply(json.dumps(agent_card_to_dict(described)), headers={"ETag": f'"{found.version}"'})


async def a2a(call: Call) -> Reply:
    message_of(call)
    found = await asking.callee(call, call.route("name"))
    from a2a.server.routes.jsonrpc_dispatcher import JsonRpcDispatcher  # noqa: PLC0415 - heavy
    from starlette.requests import Request  # noqa: PLC0415 - heavy

    from triggers.http.a2a.server import AgentRequests  # noqa: PLC0415 - heavy

    dispatcher = JsonRpcDispatcher(AgentRequests(call, found), enable_v0_3_compat=True)

    async def application(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        response = await dispatcher.handle_requests(Request(scope, receive))
        await response(scope, receive, send)

    return await answered_by(application, call)
