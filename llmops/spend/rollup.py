"""Adding new ledger lines to sums: each line once (`kernel.folding`), by what a cost can be asked by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import TypeVar

from kernel.folding import Sums, fold
from kernel.tables import Row, Span, Tables, every
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
    purpose: str = "answer"

    @property
    def key(self) -> str:
        """Row key of the group's sum; a digest, because model names hold characters that keys may not."""
        text = f"{self.agent}\n{self.provider}\n{self.model}\n{self.user_id}"
        if self.purpose != "answer":
            text += f"\n{self.purpose}"
        return f"sum!{self.workspace}!{hashlib.sha256(text.encode()).hexdigest()[:32]}"


K = TypeVar("K")
Reader = Callable[[Row], tuple[Group, Spend]]


def group_of(line: Line) -> Group:
    """Return the group a line is summed in."""
    return Group(line.workspace, line.agent, line.provider, line.model, line.user_id, line.purpose)


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
    # A row may be older than one of the names.
    group = Group(**{name: row.text(name) for name in Group.__slots__ if name in row.values})
    return group, Spend(**{name: row.integer(name) for name in Spend.__slots__})


def _add(first: tuple[Group, Spend], second: tuple[Group, Spend]) -> tuple[Group, Spend]:
    return first[0], first[1] + second[1]


def _parts(row: Row) -> Sequence[tuple[str, tuple[Group, Spend]]]:
    line = from_row(row)
    group = group_of(line)
    return [(group.key, (group, line.spend))]


_SUMS = Sums(TABLE, _parts, from_sum, lambda total: asdict(total[0]) | asdict(total[1]), _add)


class Rollup:
    """Adds a day's new lines to its sums, and reads the sums."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def fold(self, day: date) -> int:
        """Add all new lines of the day to its sums and return how many there were."""
        return sum([await fold(self._tables, _SUMS, partition(day, number)) for number in range(SHARDS)])

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
