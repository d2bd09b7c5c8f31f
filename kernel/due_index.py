"""Two indexes of what is due, so that finding it costs only what is due: by the hour, and by the exact time.

Table `due`, with a row for each thing that will be due:
`DueIndex`    partition `{kind}!{hour}`, row key `{workspace}!{name}`: for many things whose time may be an hour coarse
`DueTimes`    partition the kind, row key `{time}!{workspace}!{name}`

An entry is written before the thing is stored as due then, and removed after it no longer is, so after a crash there
may be entries too many, never too few. Readers check the thing itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from kernel.clock import hour_bucket
from kernel.lazy_dataclass import dataclass
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
