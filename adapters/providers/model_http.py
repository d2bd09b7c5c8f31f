"""The pool of connections to a model endpoint; keeps the SDK from repeating at once what must not be or can wait."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import httpx2
from openai import APIConnectionError, APITimeoutError, Timeout

from adapters.providers.openai_failures import named_wait_s, unusable_answer
from kernel.clock import Clock

_CONNECT_S = 5.0
KEPT_OPEN_S = 60.0
"""How long a connection that is not used is kept, in seconds: longer than most pauses between runs, shorter than load
balancers forget connections without a word (Azure's after four minutes)."""
_PATIENCE_S = 5.0
_RETRIES = "x-stainless-retry-count"
"""The header in which the SDK says which repetition of a call a request is."""
_BROKEN: ContextVar[bool] = ContextVar("broken", default=False)
"""Whether an earlier try at the task's call broke off after it may have been sent."""


class ModelHttp(httpx2.AsyncClient):
    """An HTTP client for the OpenAI SDK, which repeats a call at once unless it is told not to.

    Attributes:
        clock: Tells how long until the moment that a `Retry-After` names.
        timeout_s: Longest wait for an answer, or for the next piece of a streamed one, in seconds.
        stateful: Whether a call leaves something behind at the endpoint. Then only what certainly was not begun is
            repeated: a connection that could not be made, and a throttled call.
        transport: What makes the connections; None for the usual.
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
        super().__init__(timeout=timeout, limits=limits, transport=transport, follow_redirects=True)
        self._clock = clock
        self._stateful = stateful

    async def send(self, request: httpx2.Request, **kwargs: Any) -> httpx2.Response:
        """Send the request; what is raised as the SDK's own error is not repeated by it."""
        if request.headers.get(_RETRIES, "0") == "0":
            _BROKEN.set(False)
        try:
            response = await super().send(request, **kwargs)
        except httpx2.ReadTimeout as error:
            # The model may have answered and been paid for: a repetition must be an attempt that the ledger counts.
            raise APITimeoutError(request) from error
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            if not _BROKEN.get():
                error.never_sent = True  # pyright: ignore[reportAttributeAccessIssue] - see lifecycle.runs.costing
            raise
        except httpx2.TransportError as error:
            _BROKEN.set(True)
            if self._stateful:
                raise APIConnectionError(request=request) from error
            raise
        if response.is_success and response.headers.get("content-type", "").startswith("text/html"):
            await response.aclose()
            raise unusable_answer()  # a gateway's page, which the SDK would pass on as a string
        wait_s = named_wait_s(response.headers, self._clock())
        too_long = wait_s is not None and wait_s > _PATIENCE_S
        if too_long or (self._stateful and response.status_code != 429):
            response.headers["x-should-retry"] = "false"  # the SDK obeys it; the queue waits without holding a worker
        return response
