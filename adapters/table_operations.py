"""Operations on tables as HTTP requests, and the service's errors as those of the `Tables` protocol.

A request is a single operation, or several as an entity group transaction. Sources, under
learn.microsoft.com/rest/api/storageservices: insert-entity, update-entity2, insert-or-replace-entity, delete-entity1,
query-entities, performing-entity-group-transactions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import uuid4

from adapters.table_entities import to_entity, to_filter
from adapters.table_rules import place
from kernel.errors import Unavailable
from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Insert, Replace, Row, RowChanged, RowExists, RowTooLarge, Span, Upsert, Write

if TYPE_CHECKING:
    from adapters.table_answers import Answer

_READ = {
    "Accept": "application/json;odata=minimalmetadata"
}  # with less metadata, Int64 and datetimes come as plain texts
_WRITE = {**_READ, "Content-Type": "application/json"}
_CREATE = {**_WRITE, "Prefer": "return-no-content"}  # otherwise the response repeats the whole row
_PART = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Operation:
    """An HTTP request.

    Attributes:
        method: GET, POST, PUT or DELETE.
        path: Path and query below the service's endpoint, percent-encoded.
        headers: Those of this operation.
        body: None for none.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None = None


def reading(table: str, partition: str, key: str) -> Operation:
    """Return the request for one row."""
    return Operation("GET", _row_path(table, partition, key), _READ)


def querying(table: str, span: Span, limit: int, position: tuple[str | None, str | None]) -> Operation:
    """Return the request for a page of rows from a position that the service returned; (None, None) is the start."""
    asked = {"$top": str(limit), "$filter": to_filter(span), "NextPartitionKey": position[0], "NextRowKey": position[1]}
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in asked.items() if value is not None)
    return Operation("GET", f"/{table}()?{query}", _READ)


def writing(table: str, write: Write) -> Operation:
    """Return the request for a single write."""
    if isinstance(write, Insert):
        return Operation("POST", f"/{table}", _CREATE, _json(write.row))
    path = _row_path(table, *place(write))
    match write:
        case Replace(row):
            return Operation("PUT", path, _WRITE | {"If-Match": row.etag}, _json(row))
        case Upsert(row):
            return Operation("PUT", path, _WRITE, _json(row))
        case Delete(etag=etag):
            return Operation("DELETE", path, _READ | {"If-Match": etag or "*"})


def transaction(url: str, table: str, writes: Sequence[Write]) -> Operation:
    """Return the request that makes all writes or none, for the service at the URL.

    Its body is one batch with one change set. The boundaries are random, so that they do not occur in the content.
    """
    number = uuid4()
    start = f"--changeset_{number}\r\n{_PART}"
    body = [f"--batch_{number}\r\nContent-Type: multipart/mixed; boundary=changeset_{number}\r\n\r\n".encode()]
    for write in writes:
        one = writing(table, write)
        headers = "".join(f"{name}: {value}\r\n" for name, value in one.headers.items())
        head = f"{start}{one.method} {url}{one.path} HTTP/1.1\r\n{headers}DataServiceVersion: 3.0\r\n\r\n"
        body += [head.encode(), one.body or b"", b"\r\n"]
    body.append(f"--changeset_{number}--\r\n\r\n--batch_{number}--\r\n".encode())
    headers = _READ | {"Content-Type": f"multipart/mixed; boundary=batch_{number}"}
    return Operation("POST", "/$batch", headers, b"".join(body))


def _row_path(table: str, partition: str, key: str) -> str:
    return f"/{table}(PartitionKey='{_quoted(partition)}',RowKey='{_quoted(key)}')"


def _quoted(key: str) -> str:
    return quote(key.replace("'", "''"), safe="")


def _json(row: Row) -> bytes:
    return json.dumps(to_entity(row), separators=(",", ":")).encode()


_ABSENT = frozenset({"ResourceNotFound", "EntityNotFound"})
_TAKEN = frozenset({"EntityAlreadyExists", "TableAlreadyExists"})
_TOO_LARGE = frozenset({"EntityTooLarge", "RequestBodyTooLarge", "PropertyValueTooLarge"})


class NoRow(RowChanged):
    """The row does not exist."""


class NoTable(Unavailable):
    """The table does not exist; try again later."""

    code = "storage_unavailable"


def meaning(answer: Answer) -> Exception:
    """Return the error for an unsuccessful response, alone or of an operation within a transaction.

    NoTable: the table does not exist. NoRow: the row does not exist. RowExists: the key exists. RowChanged: the row has
    another
    ETag now. RowTooLarge: the row or the commit is too large. ValueError: the request is malformed. Unavailable: the
    service is
    throttling, failing, or refuses the credentials.
    """
    status, code = answer.status, answer.code
    if code == "TableNotFound":
        return NoTable()
    if status == 404 and code in _ABSENT:
        return NoRow()
    if status == 412:
        return RowChanged()
    if code in _TAKEN:
        return RowExists()
    if code in _TOO_LARGE or status == 413:
        return RowTooLarge(code)
    if status == 400:
        return ValueError(f"the table service refused the request: {code}")
    return _unavailable(" ".join(str(part) for part in (status, code) if part), _retry_after_s(answer))


def unreachable(error: Exception) -> Unavailable:
    """Return the error for a request without a complete response; it names only the kind of failure."""
    return _unavailable(type(error).__name__)


def _unavailable(reason: str, retry_after_s: float | None = None) -> Unavailable:
    detail = f"The table service is unavailable ({reason}); try again later."
    return Unavailable(detail, code="storage_unavailable", retry_after_s=retry_after_s)


def _retry_after_s(answer: Answer) -> float | None:
    with suppress(ValueError):
        return float(answer.headers.get("retry-after", ""))
    return None
