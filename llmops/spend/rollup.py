"""Adding new ledger lines to sums: each line once, reading only what is new, safe to stop anywhere.

A partition's `new!` rows are added to its `sum!` rows and deleted in one transaction. A crash before it leaves the
lines to be added, a crash after it leaves none, and two aggregators collide on an ETag: the slower one starts over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import TypeVar

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
    every,
    first_rows,
)
from llmops.spend.ledger import SHARDS, TABLE, Line, from_row, partition
from llmops.spend.usage import Spend


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """What lines are summed by: lines of one group differ only in run, time and amounts."""

    workspace: str
    agent: str
    provider: str
    model: str
    user_id: str

    @property
    def key(self) -> str:
        """Row key of the group's sum; a digest, because model names hold characters that keys may not."""
        text = f"{self.agent}\n{self.provider}\n{self.model}\n{self.user_id}"
        return f"sum!{self.workspace}!{hashlib.sha256(text.encode()).hexdigest()[:32]}"


K = TypeVar("K")
Reader = Callable[[Row], tuple[Group, Spend]]


def group_of(line: Line) -> Group:
    """Return the group a line is summed in."""
    return Group(line.workspace, line.agent, line.provider, line.model, line.user_id)


def add_up(parts: Iterable[tuple[K, Spend]]) -> dict[K, Spend]:
    """Return the total of every key."""
    totals: dict[K, Spend] = {}
    for key, spend in parts:
        totals[key] = totals.get(key, Spend()) + spend
    return totals


def to_row(home: str, key: str, group: Group, spend: Spend, etag: str = "") -> Row:
    """Return a group's sum as a row."""
    return Row(home, key, asdict(group) | asdict(spend), etag)


def from_sum(row: Row) -> tuple[Group, Spend]:
    """Return the group and sum that a row holds."""
    group = Group(**{name: row.text(name) for name in Group.__slots__})
    return group, Spend(**{name: row.integer(name) for name in Spend.__slots__})


def fitting(lines: Sequence[Row]) -> Sequence[Row]:
    """Return the longest head of the new rows whose sums and deletions fit in one transaction."""
    groups: set[Group] = set()
    for count, row in enumerate(lines):
        groups.add(group_of(from_row(row)))
        if count + 1 + len(groups) > MAX_WRITES:
            return lines[:count]
    return lines


class Rollup:
    """Adds a day's new lines to its sums, and reads the sums."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def fold(self, day: date) -> int:
        """Add all new lines of the day to its sums and return how many there were."""
        return sum([await self._fold_partition(partition(day, number)) for number in range(SHARDS)])

    async def sums(self, day: date, workspace: str | None = None) -> dict[Group, Spend]:
        """Return the day's sums by group, of one workspace or of all; new lines not yet folded are not in them."""
        prefix = "sum!" if workspace is None else f"sum!{workspace}!"
        return await self._total(day, prefix, from_sum)

    async def unfolded(self, day: date, workspace: str) -> dict[Group, Spend]:
        """Return the sums of the workspace's lines that no fold has added yet."""
        return await self._total(day, f"new!{workspace}!", lambda row: (group_of(from_row(row)), from_row(row).spend))

    async def _total(self, day: date, prefix: str, read: Reader) -> dict[Group, Spend]:
        return add_up(
            [
                read(row)
                for number in range(SHARDS)
                async for row in every(self._tables, TABLE, Span.prefix(partition(day, number), prefix))
            ]
        )

    async def _fold_partition(self, home: str) -> int:
        folded = 0
        while True:
            rows = fitting(await first_rows(self._tables, TABLE, Span.prefix(home, "new!"), MAX_WRITES))
            if not rows:
                return folded
            try:
                await self._add(home, rows)
            except (RowChanged, RowExists):
                continue  # another aggregator took these rows first, or our own earlier try took effect
            folded += len(rows)

    async def _add(self, home: str, rows: Sequence[Row]) -> None:
        lines = [from_row(row) for row in rows]
        writes: list[Write] = [Delete(home, row.key, row.etag) for row in rows]
        for group, spend in add_up((group_of(line), line.spend) for line in lines).items():
            stored = await self._tables.get(TABLE, home, group.key)
            if stored is None:
                writes.append(Insert(to_row(home, group.key, group, spend)))
            else:
                writes.append(Replace(to_row(home, group.key, group, from_sum(stored)[1] + spend, stored.etag)))
        await self._tables.commit(TABLE, writes)
