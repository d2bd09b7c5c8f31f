"""Sending webhooks, over connections to public addresses only.

A name is looked up once per connection, every address found is checked, and the connection is made to a checked one, so
that a later change of the name has no effect (DNS rebinding). No proxy is used, no redirect followed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

import httpcore2

from adapters.dns_lookup import look_up
from kernel.errors import Unavailable
from llmops.notifications.notification_delivery import Answer
from llmops.notifications.webhook_addresses import is_public, refused, target_of

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a name, for a port; raises OSError when there are none."""

_TIMEOUT_S = 10.0
_WHOLE_S = 20.0
"""Timeout of a webhook as a whole, in seconds, however slowly its response arrives."""
_AGENT = "agent-lifecycle-webhooks/1"


class HttpWebhooks:
    """Checks and calls webhooks.

    Attributes:
        allow_private: Whether plain http and private addresses are allowed.
        resolve: Looks up names; by default the operating system.
    """

    def __init__(self, *, allow_private: bool, resolve: Resolve | None = None, timeout_s: float = _TIMEOUT_S) -> None:
        self._allow_private = allow_private
        self._resolve = resolve or look_up
        self._timeout_s = timeout_s
        backend = _Guarded(self.addresses)
        # Keeping connections would save little at a few webhooks a minute; each new one is looked up and checked.
        self._pool = httpcore2.AsyncConnectionPool(max_keepalive_connections=0, network_backend=backend)

    async def check(self, url: str) -> None:
        """Check that the URL may be a webhook; a name that cannot be looked up now is checked when it is called.

        Raises:
            InvalidInput: It may not; the error code is the reason.
        """
        target = target_of(url, allow_private=self._allow_private)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self.addresses(target.host, target.port)
        except (OSError, TimeoutError):
            return

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send the body and return the response, whatever its status.

        Raises:
            InvalidInput: Webhooks must not be sent to the URL.
            Unavailable: There was no response (`webhook_timeout`, `webhook_tls_failed`, `webhook_unreachable`).
        """
        target = target_of(url, allow_private=self._allow_private)
        sent = {"host": target.authority, "user-agent": _AGENT, "content-length": str(len(body)), **headers}
        request = httpcore2.Request(
            "POST",
            httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path),
            headers=[(name.encode(), value.encode()) for name, value in sent.items()],
            content=body,
            extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), self._timeout_s)},
        )
        try:
            async with asyncio.timeout(max(self._timeout_s, _WHOLE_S)):
                response = await self._pool.handle_async_request(request)
                await response.aclose()  # the body is not used, and may be endless
        except (TimeoutError, httpcore2.TimeoutException):
            raise Unavailable("The webhook did not answer in time.", code="webhook_timeout") from None
        except (ssl.SSLError, httpcore2.ConnectError) as error:
            tls = isinstance(error, ssl.SSLError) or isinstance(error.__context__, ssl.SSLError)
            code = "webhook_tls_failed" if tls else "webhook_unreachable"
            raise Unavailable("No connection to the webhook could be made.", code=code) from None
        except (OSError, httpcore2.NetworkError, httpcore2.ProtocolError):
            raise Unavailable("The webhook could not be reached.", code="webhook_unreachable") from None
        return Answer(response.status, _retry_after_s(response.headers))

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of a host.

        Raises:
            InvalidInput: One of them is not public, and private ones are not allowed.
            OSError: It has none.
        """
        found = await self._resolve(host, port)
        if not self._allow_private and not all(is_public(ip_address(address)) for address in found):
            raise refused()
        return found

    async def aclose(self) -> None:
        """Close connections."""
        await self._pool.aclose()


class _Guarded(httpcore2.AsyncNetworkBackend):
    """Connects only to the checked addresses of a host, never by its name."""

    def __init__(self, addresses: Resolve) -> None:
        self._addresses = addresses
        self._inner: httpcore2.AsyncNetworkBackend = httpcore2.AnyIOBackend()  # pyright: ignore[reportAttributeAccessIssue,reportAssignmentType] - declared twice there

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface of httpcore2
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        async with asyncio.timeout(timeout):
            addresses = await self._addresses(host, port)
            failure: Exception = OSError(f"no address of {host}")
            for address in addresses:
                try:
                    return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
                except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                    failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _retry_after_s(headers: Sequence[tuple[bytes, bytes]]) -> float | None:
    """Return the seconds that the response asks to wait; dates are ignored, the app's own pauses are long enough."""
    value = next((value for name, value in headers if name.lower() == b"retry-after"), b"")
    return float(value) if value.isdigit() and len(value) <= 9 else None
