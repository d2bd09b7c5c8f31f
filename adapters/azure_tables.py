"""Tables on Azure Table Storage, or on Azurite, its emulator.

Rows are read and written by this package's own HTTP requests (docs/decisions/0015-table-requests.md); tables are
created with the Table SDK, which is imported only where the storage account is new.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies

from adapters.table_answers import Answer, UnreadableAnswer, parts
from adapters.table_entities import to_row
from adapters.table_operations import (
    NoRow,
    NoTable,
    Operation,
    meaning,
    querying,
    reading,
    transaction,
    unreachable,
    writing,
)
from adapters.table_rules import check_keys, check_query, check_table, checked, may_hold, pack_token, unpack_token
from kernel.tables import Page, Row, RowChanged, Span, Tables, Write

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.data.tables.aio import TableServiceClient

    from adapters.table_service import TableService

_BOUNDS: dict[str, Any] = {
    # The caller has a time limit itself: fail while it can still respond. Waits are 0, 0.4 and 0.8 s.
    "retry_total": 3,
    "retry_backoff_factor": 0.2,
    "retry_backoff_max": 2,
    "connection_timeout": 5,
    "read_timeout": 20,
    "timeout": 30,
}


def _options() -> dict[str, Any]:
    # Trusting the environment makes aiohttp read ~/.netrc for every request, a tenth of its cost; only proxies need it.
    return {**_BOUNDS, "use_env_settings": bool(getproxies())}


class AzureTables(Tables):
    """Rows in a storage account; tables are created when they are first written to.

    A request whose response was lost is repeated, and may be refused because the first one took effect. So RowExists
    and RowChanged may be caused by the caller's own write, and after Unavailable from `commit` it is unknown whether it
    took effect; see `Tables`.

    Nothing is connected, nor azure-core imported, before the first call. One object is bound to one event loop, as its
    HTTP session is; its pool of 100 connections is aiohttp's default.
    """

    def __init__(self, connect: Callable[[], TableService], sdk: Callable[[], TableServiceClient]) -> None:
        self._connect = connect
        self._sdk = sdk
        self._service: TableService | None = None

    @classmethod
    def from_connection_string(cls, conn: str) -> AzureTables:
        """Return tables in the account of the connection string."""

        def connect() -> TableService:
            from adapters.table_account import from_connection_string  # noqa: PLC0415 - imports azure-core, aiohttp
            from adapters.table_service import TableService  # noqa: PLC0415 - the same

            return TableService(from_connection_string(conn), **_options())

        def sdk() -> TableServiceClient:
            from azure.data.tables.aio import TableServiceClient  # noqa: PLC0415 - 0.15 s, of a new account only

            return TableServiceClient.from_connection_string(conn, **_options())

        return cls(connect, sdk)

    @classmethod
    def from_endpoint(cls, url: str, credential: AsyncTokenCredential) -> AzureTables:
        """Return tables in the account at the URL; the caller closes the credential."""

        def connect() -> TableService:
            from adapters.table_account import from_identity  # noqa: PLC0415 - as above
            from adapters.table_service import TableService  # noqa: PLC0415 - as above

            return TableService(from_identity(url, credential), **_options())

        def sdk() -> TableServiceClient:
            from azure.data.tables.aio import TableServiceClient  # noqa: PLC0415 - as above

            return TableServiceClient(url, credential=credential, **_options())

        return cls(connect, sdk)

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        """Return the row; None if it does not exist."""
        check_table(table)
        check_keys(partition, key)
        try:
            answer = await self._send(reading(table, partition, key))
        except (NoRow, NoTable):
            return None
        return to_row(_content(answer), answer.etag)

    async def query(self, table: str, span: Span, *, limit: int = 1000, token: str | None = None) -> Page:
        """Return up to `limit` (1-1000) rows of the span in key order."""
        check_query(table, span, limit)
        position = (None, None) if token is None else unpack_token(token)
        try:
            answer = await self._send(querying(table, span, limit, position))
        except NoTable:
            return Page([], None)
        rows = [to_row(entity) for entity in _content(answer).get("value", ())]
        following = [answer.headers.get(f"x-ms-continuation-Next{name}Key") for name in ("Partition", "Row")]
        return Page(rows, pack_token(*following) if any(following) else None)

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        """Apply all writes or none, and return the new ETags in order (empty for deletes)."""
        ready = checked(table, writes)
        if not ready:
            return []
        if not all(map(may_hold, ready)):
            raise RowChanged
        try:
            return await self._commit(table, ready)
        except NoTable:
            await self._create(table)
        return await self._commit(table, ready)

    async def aclose(self) -> None:
        """Close connections."""
        service, self._service = self._service, None
        if service is not None:
            await service.aclose()

    async def _commit(self, table: str, writes: Sequence[Write]) -> list[str]:
        if len(writes) == 1:
            return [(await self._send(writing(table, writes[0]))).etag]
        answer = await self._send(transaction(self._connected().url, table, writes))
        try:
            done = parts(answer)
        except UnreadableAnswer as error:
            raise unreachable(error) from None
        for part in done:
            if not part.succeeded:
                raise meaning(part)
        if len(done) != len(writes):
            raise unreachable(UnreadableAnswer())
        return [part.etag for part in done]

    async def _create(self, table: str) -> None:
        from azure.core.exceptions import AzureError, ResourceExistsError  # noqa: PLC0415 - as above

        async with self._sdk() as service:
            try:
                await service.create_table(table)
            except ResourceExistsError:  # another worker was faster
                return
            except AzureError as error:
                raise unreachable(error) from None

    async def _send(self, operation: Operation) -> Answer:
        """Return the response of a successful operation.

        Raises:
            Exception: The error that `table_operations.meaning` returns for any other response.
        """
        answer = await self._connected().send(operation)
        if not answer.succeeded:
            raise meaning(answer)
        return answer

    def _connected(self) -> TableService:
        self._service = self._service or self._connect()
        return self._service


def _content(answer: Answer) -> dict[str, Any]:
    try:
        content = json.loads(answer.body)
    except ValueError as error:
        raise unreachable(error) from None
    if not isinstance(content, dict):
        raise unreachable(UnreadableAnswer())
    return content
