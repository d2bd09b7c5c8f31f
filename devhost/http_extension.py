"""HTTP as the Python worker serves it with azurefunctions-extensions-http-fastapi.

Every HTTP function of the app then gets a Starlette request and returns a Starlette response, which can be streamed
(azure_functions_runtime/http_v2.py).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from azure.functions.meta import Datum

_BASE = "azurefunctions.extensions.base"


def loaded() -> bool:
    """Return whether the app has imported the extension, which is all that enables it."""
    base: Any = sys.modules.get(_BASE)
    return base is not None and base.HttpV2FeatureChecker.http_v2_enabled()


def request_of(datum: Datum) -> Any:
    """Return a trigger's value as the extension's request object."""
    base: Any = sys.modules[_BASE]
    parts: Any = datum.value
    url = urlsplit(parts["url"].value)
    messages = [{"type": "http.request", "body": parts["body"].value or b"", "more_body": False}]

    async def receive() -> MutableMapping[str, Any]:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()
        raise AssertionError

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": parts["method"].value,
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": url.path.encode(),
        "query_string": url.query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.value.encode("latin-1")) for name, value in parts["headers"].items()],
        "path_params": {},
        "server": (url.hostname, url.port),
        "client": None,
    }
    request = base.RequestTrackerMeta.get_request_type()(scope, receive)
    params = {name: value.value for name, value in parts["params"].items()}
    base.RequestTrackerMeta.get_synchronizer().sync_route_params(request, params)
    return request


def is_response(value: Any) -> bool:
    """Return whether a function's value is a response object of the extension."""
    return loaded() and callable(value) and hasattr(value, "raw_headers")


async def collected(response: Any) -> Datum:
    """Run a response to its end, and return it as the value of an HTTP binding."""
    status, headers, body = 500, {}, bytearray()

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], _headers(message)
        else:
            body.extend(message.get("body", b""))

    await response(_SCOPE, _nothing, send)
    return Datum(
        {
            "status_code": Datum(str(status), "string"),
            "headers": {name: Datum(value, "string") for name, value in headers.items()},
            "cookies": None,
            "body": Datum(bytes(body), "bytes"),
        },
        "http",
    )


async def sent(response: Any, request: web.Request) -> web.StreamResponse:
    """Send a response while it is produced; its generator is closed when the client disconnects."""
    answer = web.StreamResponse()

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.set_status(message["status"])
            answer.headers.update(_headers(message))
            answer.content_length = _length(message)
            await answer.prepare(request)
        elif piece := message.get("body"):
            await answer.write(piece)

    sending = asyncio.ensure_future(response(_SCOPE, _nothing, send))
    try:
        while not sending.done():
            await asyncio.wait([sending], timeout=_LOOK_EVERY_S)
            if request.transport is None or request.transport.is_closing():
                break
    finally:
        if not sending.done():
            sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    if answer.prepared and (request.transport is not None and not request.transport.is_closing()):
        await answer.write_eof()
    return answer


_LOOK_EVERY_S = 0.2
_SCOPE: dict[str, Any] = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}}
_OWN_HEADERS = {"content-length", "transfer-encoding", "connection", "keep-alive"}


def _headers(message: MutableMapping[str, Any]) -> dict[str, str]:
    found = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
    return {name: value for name, value in found.items() if name.lower() not in _OWN_HEADERS}


def _length(message: MutableMapping[str, Any]) -> int | None:
    return next((int(value) for name, value in message["headers"] if name.lower() == b"content-length"), None)


async def _nothing() -> MutableMapping[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError
