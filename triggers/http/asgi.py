"""Answering a request with an ASGI application, as the official protocol SDKs are written (asgi.readthedocs.io)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from triggers.http.handler_call import Reply

if TYPE_CHECKING:
    import azure.functions as func

    from triggers.http.handler_call import Call

Message = MutableMapping[str, Any]
App = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

_AHEAD = 64
"""Most chunks of a response that the application may produce before they are read."""
_ENDS_WITHIN_S = 5.0
"""Seconds that an application may go on after its response, before it is cancelled."""


async def answered_by(app: App, call: Call) -> Reply:
    """Return the application's response to a call as soon as it begins; the body is streamed."""
    exchange = _Exchange(app, _scope(call.request), call.request.get_body() or b"")
    start = await exchange.begin()
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
    kept = {name: value for name, value in headers.items() if name.lower() not in ("content-type", "content-length")}
    mimetype = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    return Reply(exchange.body(), start["status"], kept, mimetype)


class _Exchange:
    """One request to an application, which runs in its own task until it has answered or the client has left."""

    def __init__(self, app: App, scope: MutableMapping[str, Any], body: bytes) -> None:
        self._app = app
        self._scope = scope
        self._request: Message | None = {"type": "http.request", "body": body, "more_body": False}
        self._sent: asyncio.Queue[Message | None] = asyncio.Queue(_AHEAD)
        self._left = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> Message:
        """Return the start of the response: status and headers."""
        self._task = asyncio.create_task(self._run())
        try:
            first = await self._sent.get()
        except asyncio.CancelledError:
            self._left.set()
            self._task.cancel()
            raise
        if first is None:
            await self._task  # raises the application's error
            msg = "the application has not answered"
            raise RuntimeError(msg)
        return first

    async def body(self) -> AsyncGenerator[bytes]:
        """Yield the body.

        Raises:
            Exception: The application failed before the body was complete.
        """
        more = True
        try:
            while more and (message := await self._sent.get()) is not None:
                if message.get("body"):
                    yield message["body"]
                more = message.get("more_body", False)
        finally:
            self._left.set()
            await self._over(_ENDS_WITHIN_S if not more else 0)
        if more and self._task is not None and not self._task.cancelled():
            self._task.result()  # raises the application's error

    async def _over(self, within_s: float) -> None:
        """Wait until the application has ended, at most so many seconds."""
        if self._task is None:
            return
        if within_s:
            await asyncio.wait([self._task], timeout=within_s)
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._sent.put)
        finally:
            if not self._left.is_set():
                await self._sent.put(None)

    async def _receive(self) -> Message:
        if (request := self._request) is not None:
            self._request = None
            return request
        await self._left.wait()
        return {"type": "http.disconnect"}


def _scope(request: func.HttpRequest) -> MutableMapping[str, Any]:
    url = urlsplit(request.url)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method.upper(),
        "scheme": url.scheme or "http",
        "path": url.path,
        "raw_path": url.path.encode("utf-8"),
        "query_string": url.query.encode("utf-8"),
        "root_path": "",
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in request.headers.items()
        ],
        "server": (url.hostname or "", url.port or 80),
        "client": None,
        "state": {},
    }
