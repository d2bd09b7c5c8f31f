"""Journal of events: each workspace's stream, in which readers miss no event and see none twice.

Table `events`, partition `{workspace}!{shard}`:
`head` the number of events of the shard so far · `event!{n}` the events of one append, under the last one's number ·
`source!{digest}` up to which number a source's events are stored. Partition `shards` has a row for every shard.

An append changes all three in one transaction, guarded by the head's ETag. So the events of a shard become visible in
the order of their numbers, and events that a source has numbered are stored once, however often they are appended.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Any

from kernel.codec import JsonCodec, readable
from kernel.errors import Unavailable
from kernel.group_commit import Group, GroupCommit, Request
from kernel.lazy_dataclass import dataclass
from kernel.tables import Insert, Row, RowChanged, RowExists, RowTooLarge, Span, Tables, Upsert, Write, first_rows, put

TABLE = "events"
SHARDS = 4
"""Shards of a workspace's stream. More allow more appends a second, and make each poll cost more reads."""
SHARDS_PARTITION = "shards"

_HEAD = "head"
_MOST_ENTRIES = 48  # of one append; with head and events within a transaction's limit
_CONFLICTS_BEFORE_GIVING_UP = 40
_SOURCES_KNOWN = 4096


@dataclass(frozen=True, slots=True)
class Event:
    """An event: a stable name (`run.stage`, see docs/events.md), its data and its time."""

    name: str
    data: dict[str, Any]
    at: datetime


_EVENTS: JsonCodec[tuple[Event, ...]] = JsonCodec(tuple[Event, ...])


class OutOfOrder(Exception):
    """The source's events from `number` on are not stored yet, so that later ones cannot be appended."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@dataclass(frozen=True, slots=True)
class Entry:
    """Events numbered by a source.

    Attributes:
        source: What numbers them. Sources with the same text before the first `/` share a shard, and so an order.
        first: The first number that the entry covers.
        events: The events with their numbers, rising; covered numbers without an event are not in the stream.
        end: The number after the last one covered.
        again: Whether the source probably has stored events although `first` is 0.
    """

    source: str
    first: int
    events: Sequence[tuple[int, Event]]
    end: int
    again: bool = False


@dataclass(slots=True, eq=False)
class _Append(Request):
    entry: Entry


@dataclass(slots=True)
class _Shard:
    """A shard as cached by this process: its head's row and its sources' rows, as last written or read."""

    head: Row | None = None
    sources: OrderedDict[str, Row] = field(default_factory=OrderedDict[str, Row])


class Journal:
    """Stores and reads the streams of all workspaces."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._shards: dict[str, _Shard] = {}
        self._appends = GroupCommit[str, _Append](_first_ones, self._append, single=(RowTooLarge,))

    async def record(self, workspace: str, key: str, event: Event, *, again: bool = False) -> None:
        """Append the event once for its key; the same key again changes nothing, while the event is stored.

        Args:
            workspace: The workspace.
            key: Any text. Events whose keys have the same text before the first `/` are in the order of recording.
            event: The event.
            again: Whether it is probably stored already; then that is checked first.

        Raises:
            Unavailable: It is uncertain whether the event is stored; record it again.
        """
        await self.append(workspace, Entry(key, 0, [(0, event)], 1, again=again))

    async def append(self, workspace: str, entry: Entry) -> None:
        """Append the entry's events that are not stored yet. Concurrent calls share a transaction.

        Raises:
            OutOfOrder: Earlier events of the source are not in yet.
            Unavailable: It cannot be said whether the events are in; append them again.
        """
        await self._appends.make(f"{workspace}!{shard_of(entry.source)}", _Append(entry))

    async def read(self, workspace: str, shard: int, first: int, limit: int) -> Sequence[tuple[int, Event]]:
        """Return up to `limit` (1-1000) events of the shard with their numbers, starting with `first`.

        Numbers have no gaps; if the first one is later than `first`, those before are deleted.
        """
        span = Span(f"{workspace}!{shard}", key_from=event_key(first), key_before="event!~")
        rows = await first_rows(self._tables, TABLE, span, limit)
        return [each for row in rows for each in _numbered(row) if each[0] >= first][:limit]

    async def ends(self, workspace: str) -> Sequence[int]:
        """Return, for each shard, the number of its next event."""
        heads = await asyncio.gather(
            *(self._tables.get(TABLE, f"{workspace}!{shard}", _HEAD) for shard in range(SHARDS))
        )
        return [head.integer("next") if head else 0 for head in heads]

    async def _append(self, group: Group[str, _Append], batch: Sequence[_Append]) -> None:
        shard, sure = self._shards.setdefault(group.key, _Shard()), False
        for _ in range(_CONFLICTS_BEFORE_GIVING_UP):
            try:
                await self._try(group.key, shard, batch, sure=sure)
            except (RowChanged, RowExists):
                # Another process appended, or an earlier try took effect: the cached state of the shard is outdated.
                shard.head, sure = None, True
                shard.sources.clear()
                await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311 - spreads writers, guards nothing
            except BaseException:
                shard.head = None
                shard.sources.clear()
                raise
            else:
                return
        msg = "Too many callers append to the stream at once; try again."
        raise Unavailable(msg, code="stream_busy", retry_after_s=1)

    async def _try(self, partition: str, shard: _Shard, batch: Sequence[_Append], *, sure: bool) -> None:
        new = {each.entry.source: each.entry.first == 0 and not each.entry.again for each in reversed(batch)}
        head, *rows = await asyncio.gather(
            self._head(partition, shard),
            *(self._source(partition, shard, source, new=blind and not sure) for source, blind in new.items()),
        )
        sources = dict(zip(new, rows, strict=True))
        nexts = {source: row.integer("next") for source, row in sources.items()}
        events: list[Event] = []
        failures: list[OutOfOrder | None] = []
        for entry in (each.entry for each in batch):
            next_number = nexts[entry.source]
            failures.append(OutOfOrder(next_number) if entry.first > next_number else None)
            if entry.first <= next_number:
                events += [event for number, event in entry.events if number >= next_number]
                nexts[entry.source] = max(next_number, entry.end)
        moved = {key: number for key, number in nexts.items() if number != sources[key].integer("next")}
        if events:
            await self._commit(shard, head, events, {source: (sources[source], end) for source, end in moved.items()})
        for each, failure in zip(batch, failures, strict=True):
            each.finish(failure)

    async def _commit(
        self, shard: _Shard, head: Row, events: Sequence[Event], moved: Mapping[str, tuple[Row, int]]
    ) -> None:
        """Write the events, and the numbers up to which each source's are stored."""
        partition, first = head.partition, head.integer("next")
        last = first + len(events) - 1
        digests = [row.key.removeprefix(_SOURCE) for row, _ in moved.values()]
        values = {"first": first, "events": _EVENTS.dump(tuple(events)), "sources": " ".join(digests)}
        stamped = {"at": max(event.at for event in events)}
        ahead = Row(partition, _HEAD, {"next": last + 1}, head.etag)
        rows = [Row(partition, row.key, {"next": end, "last": last}, row.etag) for row, end in moved.values()]
        writes: list[Write] = [put(ahead), Insert(Row(partition, event_key(last), values | stamped)), *map(put, rows)]
        etags = await self._tables.commit(TABLE, writes)
        shard.head = _tagged(ahead, etags[0])
        for source, row, etag in zip(moved, rows, etags[2:], strict=True):
            shard.sources[source] = _tagged(row, etag)
            shard.sources.move_to_end(source)
        while len(shard.sources) > _SOURCES_KNOWN:
            shard.sources.popitem(last=False)

    async def _head(self, partition: str, shard: _Shard) -> Row:
        if shard.head is not None:
            return shard.head
        if row := await self._tables.get(TABLE, partition, _HEAD):
            return row
        await self._tables.commit(TABLE, [Upsert(Row(SHARDS_PARTITION, partition, {}))])
        return Row(partition, _HEAD, {})

    async def _source(self, partition: str, shard: _Shard, source: str, *, new: bool) -> Row:
        key = _SOURCE + digest(source)
        if (cached := shard.sources.get(source)) is not None:
            return cached
        if new:
            return Row(partition, key, {})  # the insert fails if it exists
        return await self._tables.get(TABLE, partition, key) or Row(partition, key, {})


_SOURCE = "source!"


def _first_ones(waiting: Sequence[_Append]) -> Sequence[_Append]:
    return waiting[:_MOST_ENTRIES]


def shard_of(source: str) -> int:
    """Return the shard of a source's events."""
    return hashlib.sha256(source.partition("/")[0].encode()).digest()[0] % SHARDS


def digest(source: str) -> str:
    """Return the digest of a source for row keys."""
    return hashlib.sha256(source.encode()).hexdigest()[:32]


def event_key(number: int) -> str:
    """Return the row key of the events that end with this number."""
    return f"event!{number:012d}"


def _numbered(row: Row) -> Sequence[tuple[int, Event]]:
    events = [event for found in readable([row], _events, "events") for event in found]
    return list(enumerate(events, row.integer("first")))


def _events(row: Row) -> Sequence[Event]:
    return _EVENTS.load(row.text("events"))


def _tagged(row: Row, etag: str) -> Row:
    return Row(row.partition, row.key, row.values, etag)
