"""Adding new rows to sums inside their partition: each row once, reading only what is new, safe to stop anywhere.

A partition's `new!` rows are added to its sum rows and deleted in one transaction. A crash before it leaves the rows to
be added, a crash after it leaves none, and two that fold at the same time collide on an ETag: the slower starts over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    Span,
    Tables,
    Write,
    first_rows,
)

NEW = "new!"
"""What the keys of rows that are to be added start with."""

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Sums(Generic[A]):
    """What new rows are added to.

    Attributes:
        table: The table of both.
        parts: Returns what a new row adds, by the key of the sum's row.
        load: Returns the amount that a sum's row holds.
        dump: Returns an amount as the properties of a sum's row.
        add: Returns two amounts together.
        new: What the keys of its new rows start with.
    """

    table: str
    parts: Callable[[Row], Sequence[tuple[str, A]]]
    load: Callable[[Row], A]
    dump: Callable[[A], dict[str, str | int]]
    add: Callable[[A, A], A]
    new: str = NEW


async def fold(tables: Tables, sums: Sums[A], partition: str) -> int:
    """Add all new rows of the partition to its sums and return how many there were."""
    folded = 0
    while True:
        new = await first_rows(tables, sums.table, Span.prefix(partition, sums.new), MAX_WRITES - 1)
        rows, totals = _fitting(new, sums)
        if not rows:
            return folded
        writes: list[Write] = [Delete(partition, row.key, row.etag) for row in rows]
        for key, amount in totals.items():
            stored = await tables.get(sums.table, partition, key)
            if stored is None:
                writes.append(Insert(Row(partition, key, sums.dump(amount))))
            else:
                total = sums.add(sums.load(stored), amount)
                writes.append(Replace(Row(partition, key, sums.dump(total), stored.etag)))
        try:
            await tables.commit(sums.table, writes)
        except (RowChanged, RowExists):
            continue  # somebody else took these rows first, or our own earlier try took effect
        folded += len(rows)


def _fitting(new: Sequence[Row], sums: Sums[A]) -> tuple[Sequence[Row], dict[str, A]]:
    """Return the longest head of the new rows that fits in one transaction with its sums, and what it adds up to."""
    totals: dict[str, A] = {}
    for count, row in enumerate(new):
        parts = sums.parts(row)
        if count + 1 + len(totals.keys() | {key for key, _ in parts}) > MAX_WRITES:
            return new[:count], totals
        for key, amount in parts:
            totals[key] = sums.add(totals[key], amount) if key in totals else amount
    return new, totals
