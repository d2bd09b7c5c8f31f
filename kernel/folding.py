"""Adding new rows to sums inside their partition: each row once, reading only what is new, safe to stop anywhere.

A partition's `new!` rows are added to its sum rows and deleted in one transaction. A crash before it leaves the rows to
be added, a crash after it leaves none, and two that fold at the same time collide on an ETag: the slower starts over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from kernel.tables import (
    MAX_WRITES,
    Delete,
    Insert,
    Replace,
    Row,
    RowChanged,
    RowExists,
    Scalar,
    Span,
    Tables,
    Write,
    first_rows,
)

NEW = "new!"
"""What the keys of rows that are to be added start with."""

_AT_ONCE = 1000

A = TypeVar("A")
Parts = Sequence[tuple[str, A]]


@dataclass(frozen=True, slots=True)
class Sums(Generic[A]):
    """What new rows are added to.

    Attributes:
        table: The table of both.
        parts: Returns what a new row adds, by the key of the sum's row.
        load: Returns the amount that a sum's row holds.
        dump: Returns an amount as the properties of a sum's row.
        add: Returns two amounts together.
        new: What the keys of the rows that are to be added start with.
    """

    table: str
    parts: Callable[[Row], Parts[A]]
    load: Callable[[Row], A]
    dump: Callable[[A], Mapping[str, Scalar | None]]
    add: Callable[[A, A], A]
    new: str = NEW


async def fold(tables: Tables, sums: Sums[A], partition: str) -> int:
    """Add all new rows of the partition to its sums and return how many there were.

    Each sum is read once, however many rows are added to it; what is kept in memory is the partition's sums.
    """
    folded = 0
    known: dict[str, tuple[A, str]] = {}
    while True:
        new = await first_rows(tables, sums.table, Span.prefix(partition, sums.new), _AT_ONCE)
        if not new:
            return folded
        try:
            # Rows that add to the same sum side by side: so each transaction writes few sums and holds many rows.
            waiting = sorted(((row, sums.parts(row)) for row in new), key=lambda one: [key for key, _ in one[1]])
            while waiting:
                count, totals = _fitting(waiting, sums)
                await _commit(tables, sums, partition, [row for row, _ in waiting[:count]], totals, known)
                waiting = waiting[count:]
                folded += count
        except (RowChanged, RowExists):
            known.clear()  # somebody else took these rows first, or our own earlier try took effect


async def _commit(
    tables: Tables,
    sums: Sums[A],
    partition: str,
    rows: Sequence[Row],
    totals: dict[str, A],
    known: dict[str, tuple[A, str]],
) -> None:
    """Add the totals to the sums and delete the rows; `known` are the sums as last seen, with their ETags."""
    added: dict[str, A] = {}
    writes: list[Write] = []
    for key, amount in totals.items():
        if key not in known and (stored := await tables.get(sums.table, partition, key)) is not None:
            known[key] = sums.load(stored), stored.etag
        before = known.get(key)
        added[key] = amount if before is None else sums.add(before[0], amount)
        row = Row(partition, key, sums.dump(added[key]), before[1] if before else "")
        writes.append(Replace(row) if before else Insert(row))
    writes += [Delete(partition, row.key, row.etag) for row in rows]
    etags = await tables.commit(sums.table, writes)
    known.update({key: (amount, etag) for (key, amount), etag in zip(added.items(), etags, strict=False)})


def _fitting(waiting: Sequence[tuple[Row, Parts[A]]], sums: Sums[A]) -> tuple[int, dict[str, A]]:
    """Return how many of the first rows fit in one transaction with their sums, and what these add up to."""
    totals: dict[str, A] = {}
    for count, (_, parts) in enumerate(waiting):
        if count + 1 + len(totals.keys() | {key for key, _ in parts}) > MAX_WRITES:
            return count, totals
        for key, amount in parts:
            totals[key] = sums.add(totals[key], amount) if key in totals else amount
    return len(waiting), totals
