"""HTTP to MCP servers: to public addresses only, with a size limit, and recording which calls were certainly not made.

A name is looked up for each request, every address found is checked, and the request goes to a checked one, so that a
later change of the name has no effect (DNS rebinding). No proxy is used, and no redirect to another origin followed.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import Any

import httpx2

from adapters.tls import trusted
from llmops.notifications.webhook_addresses import is_public

KEY = "agent-lifecycle/idempotency-key"
"""Key in a request's `_meta` that identifies a call; a repeated call has the same value."""
MOST_BYTES = 8 * 1024 * 1024
"""Most bytes of a response to one request."""
_GONE = 404

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class AddressRefused(httpx2.ConnectError):
    """The server's name resolves to an address that is not public."""


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends the requests of one server; one object per server, because connections are kept by address.

    Attributes:
        not_made: Keys of calls that did not reach the server, or that it refused for an unknown session.
    """

    def __init__(self, *, allow_private: bool, resolve: Resolve, trusts: ssl.SSLContext | None = None) -> None:
        self._allow_private = allow_private
        self._resolve = resolve
        self._inner = httpx2.AsyncHTTPTransport(verify=trusts or trusted(environment=False), trust_env=False)
        self.not_made: set[str] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request to a checked address of its host."""
        key = _key_of(request)
        try:
            sent = await self._addressed(request)
            response = await self._inner.handle_async_request(sent)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            self.not_made.add(key)
            raise
        if response.status_code == _GONE and "mcp-session-id" in request.headers:
            self.not_made.add(key)
        if request.method == "POST" and isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _Bounded(response.stream)
        return response

    async def aclose(self) -> None:
        """Close connections."""
        await self._inner.aclose()

    async def _addressed(self, request: httpx2.Request) -> httpx2.Request:
        host, port = request.url.host, request.url.port or (443 if request.url.scheme == "https" else 80)
        try:
            found = await self._resolve(host, port)
        except OSError as error:
            msg = "its name cannot be looked up"
            raise httpx2.ConnectError(msg, request=request) from error
        if not found or (not self._allow_private and not all(is_public(ip_address(one)) for one in found)):
            msg = "it has no public address"
            raise AddressRefused(msg, request=request)
        address = f"[{found[0]}]" if ":" in found[0] else found[0]
        return httpx2.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,  # its Host header is still the name
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )


class _Bounded(httpx2.AsyncByteStream):
    """The bytes of a response; raises an error where there are too many."""

    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._inner:
            size += len(piece)
            if size > MOST_BYTES:
                msg = "the server's answer is too large"
                raise httpx2.ReadError(msg)
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()


def _key_of(request: httpx2.Request) -> str:
    if request.method != "POST":
        return ""
    try:
        parsed: Any = json.loads(request.content)
        return str(parsed["params"]["_meta"][KEY])
    except (ValueError, KeyError, TypeError, httpx2.StreamError):
        return ""
