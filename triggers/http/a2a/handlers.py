"""Handlers of the A2A server."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import MutableMapping
from typing import Any

from kernel.strict_json import is_list, is_object, parse_json
from triggers.http import protocol_runs
from triggers.http.asgi import answered_by
from triggers.http.handler_call import Call, Reply
from triggers.http.jsonrpc import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, flaw_of, message_of, refusal

for _name in ("a2a.server", "a2a.compat", "a2a.utils"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)  # their tracebacks would contain what a client sent

_DEEPEST = 32
"""Deepest nesting of a message: the SDK's protocol buffers allow 100 levels, three for each level of JSON."""
_MOST_MESSAGES = 2**31 - 1


async def a2a_card(call: Call) -> Reply:
    from a2a.server.request_handlers.response_helpers import agent_card_to_dict  # noqa: PLC0415 - heavy

    from triggers.http.a2a.tasks import card  # noqa: PLC0415 - heavy

    found = await protocol_runs.callee(call, call.route("name"))
    settings = call.services.core.settings
    url = settings.public_url.rstrip("/") or f"{call.request.url.partition('/api/')[0]}/api"
    described = card(found, f"{url}/a2a/{found.name}", signed_in=settings.auth_mode == "entra")
    return Reply(json.dumps(agent_card_to_dict(described)), headers={"ETag": f'"{found.version}"'})


async def a2a(call: Call) -> Reply:
    if (refused := _refused(message_of(call))) is not None:
        return refused
    found = await protocol_runs.callee(call, call.route("name"))
    from a2a.server.routes.jsonrpc_dispatcher import JsonRpcDispatcher  # noqa: PLC0415 - heavy
    from starlette.requests import Request  # noqa: PLC0415 - heavy

    from triggers.http.a2a.server import AgentRequests  # noqa: PLC0415 - heavy

    dispatcher = JsonRpcDispatcher(AgentRequests(call, found), enable_v0_3_compat=True)

    async def application(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        response = await dispatcher.handle_requests(Request(scope, receive))
        await response(scope, receive, send)

    return await answered_by(application, call)


def _refused(body: bytes) -> Reply | None:
    """Return the reply to a message that would crash the SDK or be answered with Python's own text; None for others."""
    try:
        message = parse_json(body)
        fits = _fits(message)
    except ValueError:
        return refusal(PARSE_ERROR, "The message is not JSON that can be read.")
    if (flaw := flaw_of(message)) is not None:
        return refusal(INVALID_REQUEST, flaw, message.get("id") if is_object(message) else None)
    params = message.get("params")
    if not is_object(params):
        return None
    configuration = params.get("configuration")
    places = [each for each in (params, configuration) if is_object(each)]
    if not all(_counts(each.get(name)) for each in places for name in ("historyLength", "history_length")):
        return refusal(INVALID_PARAMS, f"historyLength is 0 to {_MOST_MESSAGES}.", message.get("id"))
    if not fits:
        return refusal(INVALID_PARAMS, "A number is too large.", message.get("id"))
    return None


def _counts(value: Any) -> bool:
    """Return whether a value is a valid number of messages; True also for non-numbers, which the SDK itself rejects."""
    try:
        return 0 <= int(value) <= _MOST_MESSAGES
    except (ValueError, TypeError, OverflowError):
        return True


def _fits(value: Any) -> bool:
    """Return whether all integers in a message fit into a double, as the protocol requires.

    Raises:
        ValueError: It is nested too deeply.
    """
    level, depth, fits = [value], 0, True
    while level:
        if (depth := depth + 1) > _DEEPEST:
            msg = "nested too deeply"
            raise ValueError(msg)
        inner: list[Any] = []
        for each in level:
            if is_object(each):
                inner += each.values()
            elif is_list(each):
                inner += each
            elif isinstance(each, int):
                fits = fits and abs(each) <= sys.float_info.max
        level = inner
    return fits
