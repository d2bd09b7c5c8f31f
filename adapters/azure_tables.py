"""Tables on Azure Table Storage, or on Azurite, its emulator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies

from adapters.table_entities import to_entity, to_filter, to_row
from adapters.table_errors import NoRow, NoTable, answer, meaning
from adapters.table_rules import check_keys, check_query, check_table, checked, may_hold, pack_token, unpack_token
from kernel.tables import Delete, Insert, Page, Replace, Row, RowChanged, RowExists, Span, Tables, Upsert, Write

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.data.tables import TableEntity
    from azure.data.tables.aio import TableClient, TableServiceClient

_BOUNDS: dict[str, Any] = {
    # A caller is itself under a time limit: fail while it can still answer. Waits are 0, 0.4 and 0.8 s.
    "retry_total": 3,
    "retry_backoff_factor": 0.2,
    "retry_backoff_max": 2,
    "connection_timeout": 5,
    "read_timeout": 20,
    "timeout": 30,
}
_RETRIED = frozenset({"GET", "PUT", "DELETE", "POST"})
"""POST too: a pooled connection that the service has just closed is the commonest failure, and a commit is a POST."""
_BRIEF = "return-no-content"  # or an insert's answer repeats the whole row


def _options() -> dict[str, Any]:
    # Trusting the environment makes aiohttp read ~/.netrc for every request, a tenth of its cost; only proxies need it.
    return {**_BOUNDS, "use_env_settings": bool(getproxies())}


class AzureTables(Tables):
    """Rows in a storage account; tables are created when they are first written to.

    A request whose answer was lost is sent again, and can meet what the first one did. So RowExists and RowChanged may
    be the caller's own doing, and Unavailable from `commit` leaves open whether it took place; see `Tables`.

    Nothing is connected, nor the SDK imported, before the first call. One object belongs to one event loop, as its
    HTTP session does; its pool of 100 connections is the SDK's default.
    """

    def __init__(self, connect: Callable[[], TableServiceClient]) -> None:
        self._connect = connect
        self._service: TableServiceClient | None = None
        self._clients: dict[str, TableClient] = {}

    @classmethod
    def from_connection_string(cls, conn: str) -> AzureTables:
        """Return tables in the account of the connection string."""

        def connect() -> TableServiceClient:
            from azure.data.tables.aio import TableServiceClient  # noqa: PLC0415 - 0.15 s that a cold start need not pay

            return TableServiceClient.from_connection_string(conn, **_options())

        return cls(connect)

    @classmethod
    def from_endpoint(cls, url: str, credential: AsyncTokenCredential) -> AzureTables:
        """Return tables in the account at the URL; the credential stays the caller's to close."""

        def connect() -> TableServiceClient:
            from azure.data.tables.aio import TableServiceClient  # noqa: PLC0415 - as above

            return TableServiceClient(url, credential=credential, **_options())

        return cls(connect)

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        """Return the row, or None when there is none."""
        check_table(table)
        check_keys(partition, key)
        try:
            return _row(await answer(self._client(table).get_entity(partition, key)))
        except (NoRow, NoTable):
            return None

    async def query(self, table: str, span: Span, *, limit: int = 1000, token: str | None = None) -> Page:
        """Return up to `limit` (1-1000) rows of the span in key order."""
        check_query(table, span, limit)
        position = None if token is None else dict(zip(("PartitionKey", "RowKey"), unpack_token(token), strict=True))
        text, texts = to_filter(span)
        found = self._client(table).query_entities(text, parameters=texts, results_per_page=limit)
        pages: Any = found.by_page(position)  # pyright: ignore[reportArgumentType] - a dict, whatever its type says
        try:
            rows = [_row(entity) async for entity in await answer(anext(pages))]
        except NoTable:
            return Page([], None)
        following = pages.continuation_token
        return Page(rows, pack_token(following["PartitionKey"], following["RowKey"]) if following else None)

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        """Apply all writes or none, and return the new ETags in order (empty for deletes)."""
        ready = checked(table, writes)
        if not ready:
            return []
        if not all(map(may_hold, ready)):
            raise RowChanged
        client = self._client(table)
        send = _one if len(ready) == 1 else _transaction
        try:
            return await send(client, ready)
        except NoTable:
            await _create(client)
        return await send(client, ready)

    async def aclose(self) -> None:
        """Release connections."""
        service, self._service = self._service, None
        self._clients.clear()
        if service is not None:
            await service.close()

    def _client(self, table: str) -> TableClient:
        if table not in self._clients:
            self._service = self._service or self._connect()
            self._clients[table] = self._service.get_table_client(table)
        return self._clients[table]


def _row(entity: TableEntity) -> Row:
    return to_row(entity, entity.metadata["etag"] or "")


async def _create(client: TableClient) -> None:
    with suppress(RowExists):  # another worker was faster
        await answer(client.create_table())


async def _one(client: TableClient, writes: Sequence[Write]) -> list[str]:
    match writes[0]:
        case Insert(row):
            call = client.create_entity(to_entity(row), retry_on_methods=_RETRIED, response_preference=_BRIEF)
        case Replace(row):
            call = client.update_entity(to_entity(row), **_unchanged(row.etag), mode="replace")
        case Upsert(row):
            call = client.upsert_entity(to_entity(row), mode="replace")
        case Delete(partition, key, etag):
            return await _delete(client, partition, key, _unchanged(etag))
    return [(await answer(call))["etag"]]


async def _delete(client: TableClient, partition: str, key: str, condition: Mapping[str, Any]) -> list[str]:
    from azure.core.exceptions import HttpResponseError  # noqa: PLC0415

    responses: list[Any] = []  # the SDK passes over a missing row in silence; only the last response tells

    def note(answered: Any) -> None:
        responses.append(answered.http_response)

    await answer(client.delete_entity(partition, key, raw_response_hook=note, **condition))
    if responses[-1].status_code == 404:
        raise meaning(HttpResponseError(response=responses[-1]))
    return [""]


async def _transaction(client: TableClient, writes: Sequence[Write]) -> list[str]:
    operations = [_operation(write) for write in writes]
    done = await answer(client.submit_transaction(operations, retry_on_methods=_RETRIED))
    return [result.get("etag", "") for result in done]


def _operation(write: Write) -> tuple[str, dict[str, Any], dict[str, Any]]:
    match write:
        case Insert(row):
            return "create", to_entity(row), {"response_preference": _BRIEF}
        case Replace(row):
            return "update", to_entity(row), {**_unchanged(row.etag), "mode": "replace"}
        case Upsert(row):
            return "upsert", to_entity(row), {"mode": "replace"}
        case Delete(partition, key, etag):
            return "delete", {"PartitionKey": partition, "RowKey": key}, _unchanged(etag)


def _unchanged(etag: str) -> dict[str, Any]:
    from azure.core import MatchConditions  # noqa: PLC0415

    return {"etag": etag, "match_condition": MatchConditions.IfNotModified} if etag else {}
