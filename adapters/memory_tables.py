"""Tables in memory, with the semantics of Table Storage: for library use and for fast tests."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice

from adapters.table_rules import check_keys, check_query, check_table, checked, pack_token, place, unpack_token
from kernel.tables import (
    Delete,
    Insert,
    Page,
    Replace,
    Row,
    RowChanged,
    RowExists,
    Span,
    Tables,
    Write,
    ordinal,
)


@dataclass(slots=True)
class _Partition:
    order: list[bytes] = field(default_factory=list[bytes])
    rows: dict[bytes, Row] = field(default_factory=dict[bytes, Row])


@dataclass(slots=True)
class _Table:
    order: list[bytes] = field(default_factory=list[bytes])
    partitions: dict[bytes, _Partition] = field(default_factory=dict[bytes, _Partition])


class MemoryTables(Tables):
    """Rows in this process's memory.

    A commit is atomic because it awaits nothing. Every call first yields to other tasks, as a network call would, so
    that a caller's race condition shows here too.
    """

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {}
        self._versions = count(1)

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        """Return the row; None if it does not exist."""
        check_table(table)
        check_keys(partition, key)
        await asyncio.sleep(0)
        found = self._find(table, partition, key)
        return found and _copy(found)

    async def query(self, table: str, span: Span, *, limit: int = 1000, token: str | None = None) -> Page:
        """Return up to `limit` (1-1000) rows of the span in key order; a page is short only when it is the last."""
        check_query(table, span, limit)
        last = None if token is None else unpack_token(token)
        await asyncio.sleep(0)
        content = self._tables.get(table.lower(), _Table())
        rows = list(islice(_scan(content, span, last), limit + 1))
        more = len(rows) > limit
        rows = rows[:limit]
        return Page([_copy(row) for row in rows], pack_token(rows[-1].partition, rows[-1].key) if more else None)

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        """Apply all writes or none, and return the new ETags in order (empty for deletes)."""
        ready = checked(table, writes)
        await asyncio.sleep(0)
        for write in ready:
            self._check(write, self._find(table, *place(write)))
        return [self._apply(table, write) for write in ready]

    async def aclose(self) -> None:
        """Do nothing: there are no connections."""

    def _find(self, table: str, partition: str, key: str) -> Row | None:
        content = self._tables.get(table.lower())
        rows = content and content.partitions.get(ordinal(partition))
        return rows.rows.get(ordinal(key)) if rows else None

    @staticmethod
    def _check(write: Write, found: Row | None) -> None:
        match write:
            case Insert() if found:
                raise RowExists
            case Replace(row) if found is None or found.etag != row.etag:
                raise RowChanged
            case Delete(etag=etag) if found is None or (etag and found.etag != etag):
                raise RowChanged
            case _:
                pass

    def _apply(self, table: str, write: Write) -> str:
        partition, key = map(ordinal, place(write))
        content = self._tables.setdefault(table.lower(), _Table())
        if isinstance(write, Delete):
            _remove(content, partition, key)
            return ""
        if partition not in content.partitions:
            insort(content.order, partition)
            content.partitions[partition] = _Partition()
        rows = content.partitions[partition]
        if key not in rows.rows:
            insort(rows.order, key)
        etag = f'W/"{next(self._versions):016x}"'
        rows.rows[key] = Row(write.row.partition, write.row.key, write.row.values, etag)
        return etag


def _copy(row: Row) -> Row:
    return Row(row.partition, row.key, dict(row.values), row.etag)


def _remove(content: _Table, partition: bytes, key: bytes) -> None:
    rows = content.partitions[partition]
    del rows.rows[key]
    del rows.order[bisect_left(rows.order, key)]
    if not rows.rows:
        del content.partitions[partition]
        del content.order[bisect_left(content.order, partition)]


def _scan(content: _Table, span: Span, last: tuple[str | None, str | None] | None) -> Iterator[Row]:
    """Yield the span's rows after the position `last`, touching only rows within the span's bounds."""
    first = ordinal(span.partition)
    at, behind = (ordinal(last[0] or ""), ordinal(last[1] or "")) if last else (b"", b"")
    start = bisect_left(content.order, max(first, at))
    end = (
        bisect_right(content.order, first)
        if span.partition_before is None
        else bisect_left(content.order, ordinal(span.partition_before))
    )
    for number in range(start, end):  # not a slice, which would copy rows beyond the page
        partition = content.order[number]
        rows = content.partitions[partition]
        low = 0 if span.key_from is None else bisect_left(rows.order, ordinal(span.key_from))
        if last and partition == at:
            low = max(low, bisect_right(rows.order, behind))
        high = len(rows.order) if span.key_before is None else bisect_left(rows.order, ordinal(span.key_before))
        for index in range(low, high):
            row = rows.rows[rows.order[index]]
            if span.matches(row):
                yield row
