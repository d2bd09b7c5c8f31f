"""Tables in a file, with the semantics of Table Storage: for library use, by several processes of one machine."""

from __future__ import annotations

import json
import sqlite3
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from adapters.database_file import DatabaseFile
from adapters.table_rules import check_keys, check_query, check_table, checked, pack_token, place, unpack_token
from kernel.tables import (
    Delete,
    Insert,
    Page,
    Replace,
    Row,
    RowChanged,
    RowExists,
    Scalar,
    Span,
    Tables,
    Write,
    ordinal,
)

_AT = "table_name = ? AND partition_key = ? AND row_key = ?"
_ROWS = "SELECT id, partition_key, row_key, content FROM stored_rows WHERE "
_IN_ORDER = " ORDER BY partition_key, row_key"


class FileTables(Tables):
    """Rows in a SQLite file. A commit is one transaction, written to disk when it returns."""

    def __init__(self, path: Path) -> None:
        self._file = DatabaseFile(path)

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        """Return the row; None if it does not exist."""
        check_table(table)
        check_keys(partition, key)
        return await self._file.run(lambda connection: _find(connection, table, partition, key))

    async def query(self, table: str, span: Span, *, limit: int = 1000, token: str | None = None) -> Page:
        """Return up to `limit` (1-1000) rows of the span in key order; a page is short only when it is the last."""
        check_query(table, span, limit)
        last = None if token is None else unpack_token(token)

        def read(connection: sqlite3.Connection) -> list[Row]:
            return list(islice(_scan(connection, table, span, last), limit + 1))

        found = await self._file.run(read)
        rows = found[:limit]
        more = len(found) > limit
        return Page(rows, pack_token(rows[-1].partition, rows[-1].key) if more else None)

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        """Apply all writes or none, and return the new ETags in order (empty for deletes)."""
        ready = checked(table, writes)
        return await self._file.run(lambda connection: _commit(connection, table, ready)) if ready else []

    async def aclose(self) -> None:
        """Close the file."""
        await self._file.aclose()


def _find(connection: sqlite3.Connection, table: str, partition: str, key: str) -> Row | None:
    found = connection.execute(_ROWS + _AT, (table.lower(), ordinal(partition), ordinal(key))).fetchone()
    return found and _row(*found)


def _scan(
    connection: sqlite3.Connection, table: str, span: Span, last: tuple[str | None, str | None] | None
) -> Iterator[Row]:
    where, values = ["table_name = ?"], list[Any]([table.lower()])

    def bound(condition: str, *texts: str) -> None:
        where.append(condition)
        values.extend(map(ordinal, texts))

    if span.partition_before is None:
        bound("partition_key = ?", span.partition)
    else:
        bound("partition_key >= ? AND partition_key < ?", span.partition, span.partition_before)
    if span.key_from is not None:
        bound("row_key >= ?", span.key_from)
    if span.key_before is not None:
        bound("row_key < ?", span.key_before)
    if last is not None:
        bound("(partition_key, row_key) > (?, ?)", last[0] or "", last[1] or "")
    cursor = connection.execute(_ROWS + " AND ".join(where) + _IN_ORDER, values)
    try:
        for found in cursor:
            row = _row(*found)
            if span.matches(row):
                yield row
    finally:
        cursor.close()


def _commit(connection: sqlite3.Connection, table: str, writes: Sequence[Write]) -> list[str]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        etags = [_apply(connection, table.lower(), write) for write in writes]
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has ended it itself, for example, when the disk was full
            connection.execute("ROLLBACK")
        raise
    return etags


def _apply(connection: sqlite3.Connection, table: str, write: Write) -> str:
    at = (table, *map(ordinal, place(write)))
    found = connection.execute(f"SELECT id FROM stored_rows WHERE {_AT}", at).fetchone()  # noqa: S608 - constants
    etag = found and _etag(found[0])
    match write:
        case Insert() if found:
            raise RowExists
        case Replace(row) if etag != row.etag:
            raise RowChanged
        case Delete(etag=expected) if not found or (expected and etag != expected):
            raise RowChanged
        case Delete():
            connection.execute(f"DELETE FROM stored_rows WHERE {_AT}", at)  # noqa: S608 - constants
            return ""
        case _:
            content = json.dumps({name: plain(value) for name, value in write.row.values.items()})
            done = connection.execute(
                "INSERT OR REPLACE INTO stored_rows (table_name, partition_key, row_key, content) VALUES (?, ?, ?, ?)",
                (*at, content),
            )
            return _etag(done.lastrowid or 0)


def _etag(number: int) -> str:
    return f'W/"{number:016x}"'


def _row(number: int, partition: bytes, key: bytes, content: str) -> Row:
    values = {name: scalar(value) for name, value in json.loads(content).items()}
    return Row(partition.decode("utf-16-be"), key.decode("utf-16-be"), values, _etag(number))


def plain(value: Scalar | None) -> object:
    """Return the value as JSON; types that JSON lacks become an object with the type's name."""
    match value:
        case datetime():
            return {"datetime": value.isoformat()}
        case bytes():
            return {"bytes": b64encode(value).decode()}
        case _:
            return value


def scalar(value: Any) -> Scalar:
    """Return the value that `plain` wrote."""
    if not isinstance(value, dict):
        return value
    [(kind, text)] = value.items()
    return datetime.fromisoformat(text) if kind == "datetime" else b64decode(text)
