"""Index of which agents and items depend on an item, so that a change of it updates only those.

Table `configuration`, partition `{workspace}!{kind}!{name}`, row `{dependent kind}!{dependent name}`. It may have
entries too many: an entry is written before the dependent refers to the item and removed after it no longer does. So
readers check the dependent itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Row, RowChanged, Span, Tables, Upsert, every, first_rows
from lifecycle.configuration.kinds import Kind, Ref, item_name
from lifecycle.configuration.store import TABLE

if TYPE_CHECKING:
    from kernel.clock import Clock


class DependentKind(StrEnum):
    """What can depend on an item."""

    AGENT = "agent"
    TEMPLATE = "template"
    OVERRIDES = "overrides"


@dataclass(frozen=True, slots=True)
class Dependent:
    """Something that depends on an item, and when it was entered."""

    kind: DependentKind
    name: str
    entered_at: datetime | None = None

    @property
    def key(self) -> str:
        """The key of its entries."""
        return f"{self.kind.value}!{self.name}"


class Dependents:
    """Stores which agents and items depend on which item."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    async def enter(self, workspace: str, who: Dependent, refs: Iterable[Ref]) -> None:
        """Enter a dependent of the items; call it before the dependent is stored."""
        values = {"entered_at": self._clock()}
        rows = [Row(_partition(workspace, ref), who.key, values) for ref in refs]
        await asyncio.gather(*(self._tables.commit(TABLE, [Upsert(row)]) for row in rows))

    async def leave(self, workspace: str, who: Dependent, refs: Iterable[Ref]) -> None:
        """Remove a dependent of the items; does nothing where it is gone already."""
        await asyncio.gather(*(self._drop(_partition(workspace, ref), who.key) for ref in refs))

    async def agents(self, workspace: str, ref: Ref) -> AsyncIterator[Dependent]:
        """Yield the agents that may depend on the item, by name."""
        async for row in every(self._tables, TABLE, Span.prefix(_partition(workspace, ref), "agent!")):
            yield _dependent(row)

    async def page(
        self, workspace: str, ref: Ref, limit: int, after: str | None = None
    ) -> tuple[Sequence[Dependent], str | None]:
        """Return up to `limit` entries, and the key to continue after; None at the end."""
        span = Span.prefix(_partition(workspace, ref), "", after=after)
        rows = await first_rows(self._tables, TABLE, span, limit + 1)
        found = [_dependent(row) for row in rows[:limit]]
        return found, rows[limit - 1].key if len(rows) > limit else None

    async def _drop(self, partition: str, key: str) -> None:
        try:
            await self._tables.commit(TABLE, [Delete(partition, key)])
        except RowChanged:
            return


def _partition(workspace: str, ref: Ref) -> str:
    return f"{workspace}!{ref.kind.value}!{ref.name}"


def _dependent(row: Row) -> Dependent:
    kind, _, name = row.key.partition("!")
    return Dependent(DependentKind(kind), name, row.moment("entered_at"))


def dependent_key(text: str) -> str:
    """Return the text if it is a key that `page` can continue after.

    Raises:
        ValueError: It is not of the right form.
        InvalidInput: It has an invalid name.
    """
    kind, _, name = text.partition("!")
    return Dependent(DependentKind(kind), item_name(Kind.TEMPLATE, name)).key
