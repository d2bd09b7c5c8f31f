"""An index of things by the exact time at which they are due, so that reading costs only what is due.

Table `due`, partition the kind, row key `{time}!{workspace}!{name}`. As in `kernel.due_index`, an entry is written
before the thing is stored as due then, and removed after it no longer is: there may be entries too many, never too few.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from kernel.due_index import TABLE
from kernel.tables import Delete, Row, RowChanged, Span, Upsert, every

if TYPE_CHECKING:
    from kernel.tables import Tables

_LEAST = timedelta(minutes=10)
_FORM = "%Y%m%dT%H%M%S%fZ"


@dataclass(frozen=True, slots=True)
class DueThing:
    """Something that is due, and since when."""

    workspace: str
    name: str
    at: datetime

    def outlasted(self, now: datetime) -> bool:
        """Return whether the entry is too old to be ahead of its thing, which is stored soon after the entry."""
        return now - self.at > _LEAST


class DueTimes:
    """The index of one kind of thing."""

    def __init__(self, tables: Tables, kind: str) -> None:
        self._tables = tables
        self._kind = kind

    async def add(self, workspace: str, name: str, at: datetime) -> None:
        """Enter a thing; call it before the thing is stored as due then."""
        await self._tables.commit(TABLE, [Upsert(Row(self._kind, _key(workspace, name, at), {}))])

    async def drop(self, thing: DueThing) -> None:
        """Remove an outdated entry; does nothing if it is gone."""
        try:
            await self._tables.commit(TABLE, [Delete(self._kind, _key(thing.workspace, thing.name, thing.at))])
        except RowChanged:
            return

    async def until(self, moment: datetime) -> AsyncIterator[DueThing]:
        """Yield the things due by the moment, oldest first."""
        async for row in every(self._tables, TABLE, Span(self._kind, key_before=f"{_stamp(moment)}~")):
            stamp, workspace, name = row.key.split("!")
            yield DueThing(workspace, name, datetime.strptime(stamp, _FORM).replace(tzinfo=UTC))


def _key(workspace: str, name: str, at: datetime) -> str:
    return f"{_stamp(at)}!{workspace}!{name}"


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(_FORM)
