"""The connection pool of a model endpoint, which limits the retries that the SDK makes."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import httpx2
from openai import APIConnectionError, APITimeoutError, Timeout

from adapters.providers.openai_failures import named_wait_s, unusable_answer
from adapters.tls import trusted

if TYPE_CHECKING:
    from kernel.clock import Clock

_CONNECT_S = 5.0
KEPT_OPEN_S = 60.0
"""How long an unused connection is kept, in seconds: longer than most pauses between runs, shorter than the idle
timeout of load balancers, which drop connections silently (Azure's after four minutes).
"""
_PATIENCE_S = 5.0
_RETRIES = "x-stainless-retry-count"
"""Header with which the SDK numbers the retries of a call."""
_BROKEN: ContextVar[bool] = ContextVar("broken", default=False)
"""Whether an earlier try of the current task's call broke off after it may have been sent."""


class ModelHttp(httpx2.AsyncClient):
    """An HTTP client for the OpenAI SDK, which by default retries a call at once.

    Attributes:
        clock: Returns the current time, to compute the wait of a `Retry-After` date.
        timeout_s: Timeout of a response, or of the next chunk of a streamed one, in seconds.
        stateful: Whether a call leaves state at the endpoint. If so, only calls that certainly had no effect are
            retried: a
            failed connection, and a throttled call.
        transport: The transport; None for the default.
    """

    def __init__(
        self,
        clock: Clock,
        timeout_s: float,
        *,
        stateful: bool = False,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        timeout = Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s))
        limits = httpx2.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=KEPT_OPEN_S)
        verify = trusted(environment=True)
        super().__init__(verify=verify, timeout=timeout, limits=limits, transport=transport, follow_redirects=True)
        self._clock = clock
        self._stateful = stateful

    async def send(self, request: httpx2.Request, **kwargs: Any) -> httpx2.Response:
        """Send the request; the SDK does not retry exceptions of its own types raised here."""
        if request.headers.get(_RETRIES, "0") == "0":
            _BROKEN.set(False)
        try:
            response = await super().send(request, **kwargs)
        except httpx2.ReadTimeout as error:
            # The model may have answered, and the call may be charged: a retry must be an attempt that is recorded.
            raise APITimeoutError(request) from error
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            if not _BROKEN.get():
                error.never_sent = True  # pyright: ignore[reportAttributeAccessIssue] - see lifecycle.runs.call_costs
            raise
        except httpx2.TransportError as error:
            _BROKEN.set(True)
            if self._stateful:
                raise APIConnectionError(request=request) from error
            raise
        if response.is_success and response.headers.get("content-type", "").startswith("text/html"):
            await response.aclose()
            raise unusable_answer()  # a gateway's page, which the SDK would return as a string
        wait_s = named_wait_s(response.headers, self._clock())
        too_long = wait_s is not None and wait_s > _PATIENCE_S
        if too_long or (self._stateful and response.status_code != 429):
            response.headers["x-should-retry"] = (
                "false"  # the SDK follows this header; the queue can wait without occupying a worker
            )
        return response
