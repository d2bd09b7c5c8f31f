"""An index of things by the hour at which they have to be checked, so that finding due ones costs only what is due.

Table `due`, partition `{kind}!{hour}`, row key `{workspace}!{name}`. An entry is written before the thing becomes due
at that hour and removed after it is no longer, so after a crash there may be entries too many, never too few. Readers
check the thing itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from kernel.clock import hour_bucket
from kernel.tables import Delete, Row, RowChanged, Span, Tables, Upsert, every

TABLE = "due"


@dataclass(frozen=True, slots=True)
class Entry:
    """A due thing, the hour of its entry, and the note stored with it."""

    workspace: str
    name: str
    hour: str
    note: str


def outlasted(entry: Entry, now: datetime) -> bool:
    """Return whether the entry is too old to be ahead of its thing, which is stored soon after the entry."""
    return entry.hour < hour_bucket(now - timedelta(hours=1))


class DueIndex:
    """The index of one kind of thing."""

    def __init__(self, tables: Tables, kind: str) -> None:
        self._tables = tables
        self._kind = kind

    async def add(self, workspace: str, name: str, due: datetime, note: str = "") -> None:
        """Enter a thing; call it before the change that makes it due is stored."""
        row = Row(self._partition(hour_bucket(due)), f"{workspace}!{name}", {"note": note})
        await self._tables.commit(TABLE, [Upsert(row)])

    async def drop(self, workspace: str, name: str, hour: str) -> None:
        """Remove an outdated entry; does nothing if it is gone."""
        try:
            await self._tables.commit(TABLE, [Delete(self._partition(hour), f"{workspace}!{name}")])
        except RowChanged:
            return

    async def until(self, moment: datetime) -> AsyncIterator[Entry]:
        """Yield the entries up to and including the moment's hour, oldest first."""
        span = Span(f"{self._kind}!", partition_before=self._partition(hour_bucket(moment)) + "~")
        async for row in every(self._tables, TABLE, span):
            workspace, name = row.key.split("!", 1)
            yield Entry(workspace, name, row.partition.removeprefix(f"{self._kind}!"), row.text("note"))

    def _partition(self, hour: str) -> str:
        return f"{self._kind}!{hour}"
