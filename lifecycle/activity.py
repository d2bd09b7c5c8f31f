"""An index of things by the hour they were last active, so that finding the idle ones costs what there is to find.

Table `activity`, partition `{kind}!{hour}`, row key `{workspace}!{name}`. It is a superset: an entry is written before
the thing becomes active in that hour and removed after it left, so a crash can leave an entry too many, never one too
few. Whoever reads an entry checks the thing itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from kernel.clock import hour_bucket
from kernel.tables import Delete, Row, RowChanged, Span, Tables, Upsert, every

TABLE = "activity"


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that was last active in an hour."""

    workspace: str
    name: str
    hour: str


class ActivityIndex:
    """The index of one kind of thing."""

    def __init__(self, tables: Tables, kind: str) -> None:
        self._tables = tables
        self._kind = kind

    async def add(self, workspace: str, name: str, active: datetime) -> None:
        """Enter a thing at the hour of its activity; call it before the activity is recorded elsewhere."""
        row = Row(self._partition(hour_bucket(active)), f"{workspace}!{name}", {})
        await self._tables.commit(TABLE, [Upsert(row)])

    async def drop(self, workspace: str, name: str, hour: str) -> None:
        """Remove an entry that no longer holds; one that is already gone is no error."""
        try:
            await self._tables.commit(TABLE, [Delete(self._partition(hour), f"{workspace}!{name}")])
        except RowChanged:
            return

    async def until(self, moment: datetime) -> AsyncIterator[Entry]:
        """Yield the entries up to and including the moment's hour, oldest first."""
        span = Span(f"{self._kind}!", partition_before=self._partition(hour_bucket(moment)) + "~")
        async for row in every(self._tables, TABLE, span):
            workspace, name = row.key.split("!", 1)
            yield Entry(workspace, name, row.partition.removeprefix(f"{self._kind}!"))

    def _partition(self, hour: str) -> str:
        return f"{self._kind}!{hour}"
