"""Adds new rows to sums in their partition: each row once, reading only new rows, safe under crashes.

A partition's `new!` rows are added to its sum rows and deleted in one transaction. After a crash before it, the rows
are still there; after a crash behind it, they are gone. Concurrent aggregations collide on an ETag, and the later one
starts over. An unreadable row, and rows of an unreadable sum, stay where they are, are counted, and do not hinder
others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from kernel.codec import Unreadable, skip
from kernel.lazy_dataclass import dataclass
from kernel.tables import MAX_WRITES, Delete, Row, RowChanged, RowExists, Scalar, Span, Tables, Write, first_rows, put

NEW = "new!"
"""Prefix of the keys of rows that are to be added."""

_AT_ONCE = 1000
_REMEMBERED = 1000
"""Most sums of a partition that are cached in memory; others are read again when needed."""

A = TypeVar("A")
Parts = Sequence[tuple[str, A]]


@dataclass(frozen=True, slots=True)
class Sums(Generic[A]):
    """How new rows are added to sums.

    Attributes:
        table: The table of the rows and sums.
        parts: Returns the amounts that a new row adds, by the key of the sum's row; raises Unreadable.
        load: Returns the amount in a sum's row; raises Unreadable.
        dump: Returns an amount as properties of a sum's row.
        add: Returns the sum of two amounts.
        new: Prefix of the keys of rows that are to be added.
    """

    table: str
    parts: Callable[[Row], Parts[A]]
    load: Callable[[Row], A]
    dump: Callable[[A], Mapping[str, Scalar | None]]
    add: Callable[[A, A], A]
    new: str = NEW


async def aggregate(tables: Tables, sums: Sums[A], partition: str) -> int:
    """Add all new rows of the partition to its sums and return how many there were.

    A sum is read once, however many rows are added to it, unless it falls out of the cache, whose size is limited.
    """
    return await _Aggregation(tables, sums, partition).all()


class _Aggregation(Generic[A]):
    def __init__(self, tables: Tables, sums: Sums[A], partition: str) -> None:
        self._tables = tables
        self._sums = sums
        self._partition = partition
        self._known: dict[str, tuple[A, str]] = {}
        """The sums as last seen, with their ETags."""
        self._closed: set[str] = set()
        """Sums that cannot be read."""
        self._folded = 0

    async def all(self) -> int:
        after: str | None = None
        while True:
            span = Span.prefix(self._partition, self._sums.new, after=after)
            new = await first_rows(self._tables, self._sums.table, span, _AT_ONCE)
            if not new:
                return self._folded
            try:
                await self._page(new)
            except (RowChanged, RowExists):
                self._known.clear()  # another process added these rows, or an earlier try took effect
                continue
            after = new[-1].key  # rows that are left cannot be added

    async def _page(self, new: Sequence[Row]) -> None:
        # Groups rows that add to the same sum, so that each transaction writes few sums and has many rows.
        waiting = sorted(self._readable(new), key=lambda one: [key for key, _ in one[1]])
        while waiting := self._without_closed(waiting):
            count, totals = _fitting(waiting, self._sums)
            if not await self._seen(totals):
                continue
            await self._commit([row for row, _ in waiting[:count]], totals)
            waiting = waiting[count:]
            self._folded += count

    def _readable(self, rows: Sequence[Row]) -> list[tuple[Row, Parts[A]]]:
        found: list[tuple[Row, Parts[A]]] = []
        for row in rows:
            try:
                found.append((row, self._sums.parts(row)))
            except Unreadable as error:
                skip(row, f"new row of {self._sums.table}", error)
        return found

    def _without_closed(self, waiting: list[tuple[Row, Parts[A]]]) -> list[tuple[Row, Parts[A]]]:
        if not self._closed:
            return waiting
        return [(row, parts) for row, parts in waiting if not any(key in self._closed for key, _ in parts)]

    async def _seen(self, totals: Mapping[str, A]) -> bool:
        """Read the sums that are not cached; return whether all are readable."""
        whole = True
        for key in totals:
            if key in self._known:
                continue
            stored = await self._tables.get(self._sums.table, self._partition, key)
            if stored is None:
                continue
            try:
                self._known[key] = self._sums.load(stored), stored.etag
            except Unreadable as error:
                skip(stored, f"sum of {self._sums.table}", error)
                self._closed.add(key)
                whole = False
        return whole

    async def _commit(self, rows: Sequence[Row], totals: Mapping[str, A]) -> None:
        """Add the totals to the sums and delete the rows."""
        added: dict[str, A] = {}
        writes: list[Write] = []
        for key, amount in totals.items():
            before = self._known.get(key)
            added[key] = amount if before is None else self._sums.add(before[0], amount)
            row = Row(self._partition, key, self._sums.dump(added[key]), before[1] if before else "")
            writes.append(put(row))
        writes += [Delete(self._partition, row.key, row.etag) for row in rows]
        etags = await self._tables.commit(self._sums.table, writes)
        self._known.update({key: (amount, etag) for (key, amount), etag in zip(added.items(), etags, strict=False)})
        while len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]


def _fitting(waiting: Sequence[tuple[Row, Parts[A]]], sums: Sums[A]) -> tuple[int, dict[str, A]]:
    """Return how many of the first rows fit in one transaction with their sums, and the total of each sum."""
    totals: dict[str, A] = {}
    for count, (_, parts) in enumerate(waiting):
        if count + 1 + len(totals.keys() | {key for key, _ in parts}) > MAX_WRITES:
            return count, totals
        for key, amount in parts:
            totals[key] = sums.add(totals[key], amount) if key in totals else amount
    return len(waiting), totals
