"""The handler of the MCP server."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from typing import Any

from kernel.strict_json import is_object, parse_json
from triggers.http.asgi import answered_by
from triggers.http.handler_call import Call, Reply
from triggers.http.jsonrpc import INVALID_REQUEST, MAX_BODY_BYTES, PARSE_ERROR, flaw_of, message_of, refusal

for _name in ("mcp.server", "mcp.shared"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)  # their tracebacks would contain what a client sent


async def mcp(call: Call) -> Reply:
    """Answer one message: requests are independent, and any worker can answer each."""
    try:
        message = parse_json(message_of(call))
    except ValueError:
        return refusal(PARSE_ERROR, "The message is not JSON that can be read.", status=400)
    if (flaw := flaw_of(message)) is not None:
        return refusal(INVALID_REQUEST, flaw, message.get("id") if is_object(message) else None, status=400)
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager  # noqa: PLC0415 - heavy

    from triggers.http.mcp.server import agent_server  # noqa: PLC0415 - heavy

    server = agent_server(call)
    plain = not _wants_progress(message)

    async def application(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        manager = StreamableHTTPSessionManager(
            server, json_response=plain, stateless=True, max_request_body_size=MAX_BODY_BYTES
        )
        # A client that asks for progress gets a stream; clients do not declare in any other way what they can read.
        kept = [header for header in scope["headers"] if header[0] != b"accept"]
        accepting = {**scope, "headers": [*kept, (b"accept", b"application/json, text/event-stream")]}
        async with manager.run():
            await manager.handle_request(accepting, receive, send)

    return await answered_by(application, call)


def _wants_progress(message: Mapping[str, Any]) -> bool:
    """Return whether a message asks for progress: then its response is a stream, else one JSON value."""
    about = (message.get("params") or {}).get("_meta")
    return is_object(about) and about.get("progressToken") is not None
