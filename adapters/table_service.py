"""Requests to a Table service through azure-core's pipeline: retries, authorization, tracing and aiohttp's connections.

The Table SDK is not used: its client costs three times the processor time of the request itself, and ten times that of
a transaction (docs/decisions/0015-table-requests.md). Imported on first use, as azure-core is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure.core import __version__ as core_version
from azure.core.exceptions import AzureError
from azure.core.pipeline import AsyncPipeline, PipelineResponse
from azure.core.pipeline.policies import AsyncRetryPolicy, DistributedTracingPolicy, HttpLoggingPolicy
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest

from adapters.table_account import Account, Dated
from adapters.table_answers import Answer
from adapters.table_errors import unreachable
from adapters.table_operations import Operation

_HEADERS = {
    "x-ms-version": "2019-02-02",
    "DataServiceVersion": "3.0",
    "User-Agent": f"agent-lifecycle azure-core/{core_version}",
}
_RETRIED = frozenset({"GET", "PUT", "DELETE", "POST"})
"""POST too: a pooled connection that the service has just closed is the commonest failure, and a commit is a POST."""
_LONGEST_WAIT_S = 10
"""A longer Retry-After is the caller's to wait for, who has a time limit too."""


class _Retries(AsyncRetryPolicy[Any, Any]):
    def is_retry(self, settings: dict[str, Any], response: PipelineResponse[Any, Any]) -> bool:
        """Return whether to ask again, unless the service wants to be left alone for longer than we can wait."""
        again = super().is_retry(settings, response)
        return again and (self.get_retry_after(response) or 0) <= _LONGEST_WAIT_S


class TableService:
    """One account's Table service. It belongs to the event loop that it is first used on.

    The options are azure-core's: `retry_total`, `retry_backoff_factor`, `connection_timeout`, `read_timeout`, ….
    """

    def __init__(self, account: Account, **options: Any) -> None:
        self.url = account.url
        self._pipeline: AsyncPipeline[HttpRequest, AsyncHttpResponse] = AsyncPipeline(
            AioHttpTransport(**options),
            [  # retries first, so that each attempt is dated and signed again
                _Retries(**options),
                Dated(),
                account.authorize,
                DistributedTracingPolicy(),
                HttpLoggingPolicy(),
            ],
        )

    async def send(self, operation: Operation) -> Answer:
        """Return the service's answer, whatever its status.

        Raises:
            Unavailable: There was none, or it broke off; whether the request took effect is open.
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
            raise unreachable(error) from None  # its text holds URLs and what was signed
        headers: Mapping[str, str] = done.headers
        return Answer(done.status_code, headers, done.content)

    async def aclose(self) -> None:
        """Release connections."""
        await self._pipeline.__aexit__()
