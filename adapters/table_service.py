"""Requests to a Table service through azure-core's pipeline: retries, authorisation, tracing, aiohttp's connections.

The Table SDK is not used: its client takes three times the CPU time of the request itself, and ten times for a
transaction (docs/decisions/0015-table-requests.md). Imported on first use.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from azure.core import __version__ as core_version
from azure.core.exceptions import AzureError
from azure.core.pipeline import AsyncPipeline, PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import (
    AsyncHTTPPolicy,
    AsyncRetryPolicy,
    DistributedTracingPolicy,
    HttpLoggingPolicy,
    SansIOHTTPPolicy,
)
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.core.settings import settings

from adapters.table_account import Account, Dated
from adapters.table_answers import Answer
from adapters.table_operations import Operation, unreachable

_HEADERS = {
    "x-ms-version": "2019-02-02",
    "DataServiceVersion": "3.0",
    "User-Agent": f"agent-lifecycle azure-core/{core_version}",
}
_RETRIED = frozenset({"GET", "PUT", "DELETE", "POST"})
"""POST is retried too: connections that the service has just closed are the most frequent failure."""
_LONGEST_WAIT_S = 10
"""A longer Retry-After is left to the caller, which has a time limit."""


class _Retries(AsyncRetryPolicy[Any, Any]):
    def is_retry(self, settings: dict[str, Any], response: PipelineResponse[Any, Any]) -> bool:
        """Return whether to retry; not if the service asks for a longer wait than allowed."""
        again = super().is_retry(settings, response)
        return again and (self.get_retry_after(response) or 0) <= _LONGEST_WAIT_S


class _Signing(AsyncHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Dates and signs an attempt at a request, by policies that do nothing else."""

    def __init__(self, *policies: SansIOHTTPPolicy[Any, Any]) -> None:
        super().__init__()
        self._policies = policies

    async def send(self, request: PipelineRequest[HttpRequest]) -> PipelineResponse[HttpRequest, AsyncHttpResponse]:
        """Pass the request on."""
        for policy in self._policies:  # azure-core would take a coroutine and its own context for each
            policy.on_request(request)
        return await self.next.send(request)


class TableService:
    """The Table service of one account. Bound to the event loop it is first used on.

    The options are azure-core's: `retry_total`, `retry_backoff_factor`, `connection_timeout`, `read_timeout`, ….
    """

    def __init__(self, account: Account, **options: Any) -> None:
        self.url = account.url
        # Retries first, so that each attempt is dated and signed again.
        policies: list[Any] = [_Retries(**options)]
        if isinstance(account.authorize, SansIOHTTPPolicy):
            policies.append(_Signing(Dated(), account.authorize))
        else:  # a token may have to be fetched
            policies += [_Signing(Dated()), account.authorize]
        # Both take a fiftieth of a run's processor time even if they are off.
        if settings.tracing_implementation() is not None or settings.tracing_enabled():
            policies.append(DistributedTracingPolicy())
        if logging.getLogger(HttpLoggingPolicy.__module__).isEnabledFor(logging.INFO):
            policies.append(HttpLoggingPolicy())
        self._pipeline: AsyncPipeline[HttpRequest, AsyncHttpResponse] = AsyncPipeline(
            AioHttpTransport(**options), policies
        )

    async def send(self, operation: Operation) -> Answer:
        """Return the service's response, whatever its status.

        Raises:
            Unavailable: There was none, or it was truncated; whether the request took effect is unknown.
        """
        request = HttpRequest(
            operation.method,
            self.url + operation.path,
            headers={**_HEADERS, **operation.headers},
            content=operation.body,
        )
        try:
            done = (await self._pipeline.run(request, retry_on_methods=_RETRIED)).http_response
        except AzureError as error:
            raise unreachable(error) from None  # its text contains URLs and what was signed
        headers: Mapping[str, str] = done.headers
        return Answer(done.status_code, headers, done.content)

    async def aclose(self) -> None:
        """Close connections."""
        await self._pipeline.__aexit__()
