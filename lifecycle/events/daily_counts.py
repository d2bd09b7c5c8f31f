"""Counts of events by day, from the workspace's stream; each event is counted once.

In each shard's partition of table `events`: `daily_counts!next` the number of the first event not counted,
`daily_counts!{day}` the counts of a UTC day, `daily_counts!all` those since the beginning; and `wait!{run}`, which runs
wait (`lifecycle.events.waiting_run_counts`). Counting some more changes them in one transaction.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from kernel.clock import hour_bucket
from kernel.journal import SHARDS, TABLE, Event, Journal
from kernel.tables import (
    MAX_WRITES,
    Row,
    RowChanged,
    RowExists,
    Span,
    Tables,
    Write,
    every,
    first_rows,
    put,
)
from lifecycle.events import waiting_run_counts as waiting_runs

if TYPE_CHECKING:
    from lifecycle.events.waiting_run_counts import WaitingRuns

_NEXT = "daily_counts!next"
_ALL = "daily_counts!all"
_STARTED = "session.state_changed:started"
_ENDED = "session.state_changed:ended"
_ERASED = "session.erased:open"
_HANDOFF = "handoff.initiated"
_AT_ONCE = 500
_MOST_WAITS = 1000
"""Waiting runs of a shard that are counted."""


class DailyEventCounts:
    """Counts events and reads the counts."""

    def __init__(self, tables: Tables, journal: Journal) -> None:
        self._tables = tables
        self._journal = journal

    async def count(self, workspace: str) -> int:
        """Count new events of all shards, and return how many."""
        return sum(await asyncio.gather(*(self.count_lane(workspace, shard) for shard in range(SHARDS))))

    async def count_lane(self, workspace: str, shard: int) -> int:
        """Count new events of one shard, and return how many."""
        partition, counted = f"{workspace}!{shard}", 0
        while True:
            position = await self._tables.get(TABLE, partition, _NEXT)
            found = await self._journal.read(workspace, shard, position.integer("next") if position else 0, _AT_ONCE)
            if not found:
                return counted
            found = found[: waiting_runs.at_once([event for _, event in found])]
            try:
                await self._add(partition, position, found[-1][0] + 1, [event for _, event in found])
            except (RowChanged, RowExists):
                continue  # another process counted them, or an earlier try took effect
            counted += len(found)

    async def between(self, workspace: str, first: date, last: date) -> Mapping[str, int]:
        """Return the counted events from the first to the last UTC day, both included.

        Keys are event names with their state, stage and reason, like `session.state_changed:ended:…`; handoffs have the
        team and the cause: `handoff.initiated:helpdesk:model`.
        """
        parts = await asyncio.gather(
            *(self._shard(f"{workspace}!{shard}", first.isoformat(), last.isoformat()) for shard in range(SHARDS))
        )
        return sum(parts, Counter[str]())

    async def handoffs(self, workspace: str) -> Mapping[tuple[str, str], int]:
        """Return the number of all handoffs so far, by team and cause; counts new events first."""
        await self.count(workspace)
        return handoffs_of(await self._ever(workspace))

    async def open_sessions(self, workspace: str) -> int:
        """Return how many sessions were started and have neither ended nor been erased; counts new events first."""
        await self.count(workspace)
        return await self._open_sessions(workspace)

    async def current(self, workspace: str) -> tuple[int, WaitingRuns]:
        """Return how many sessions are open and how many runs wait, up to this moment: `count` is called once."""
        await self.count(workspace)
        return await asyncio.gather(self._open_sessions(workspace), self._waiting_runs(workspace))

    async def _open_sessions(self, workspace: str) -> int:
        total = await self._ever(workspace)
        over = sum(count for kind, count in total.items() if kind.startswith(_ENDED) or kind == _ERASED)
        return max(0, total[_STARTED] - over)

    async def waiting_runs(self, workspace: str) -> WaitingRuns:
        """Return how many runs wait, up to this moment; of each shard a thousand are counted at most."""
        await self.count(workspace)
        return await self._waiting_runs(workspace)

    async def _waiting_runs(self, workspace: str) -> WaitingRuns:
        spans = [Span.prefix(f"{workspace}!{shard}", waiting_runs.PREFIX) for shard in range(SHARDS)]
        rows = await asyncio.gather(*(first_rows(self._tables, TABLE, span, _MOST_WAITS) for span in spans))
        return waiting_runs.counted([row for found in rows for row in found])

    async def _ever(self, workspace: str) -> Counter[str]:
        """Return how often what ever happened, as far as it is counted."""
        rows = await asyncio.gather(*(self._tables.get(TABLE, f"{workspace}!{shard}", _ALL) for shard in range(SHARDS)))
        return sum([Counter(_counts(row)) for row in rows if row], Counter[str]())

    async def _shard(self, partition: str, first: str, last: str) -> Counter[str]:
        span = Span(partition, key_from=f"daily_counts!{first}", key_before=f"daily_counts!{last}~")
        return sum([Counter(_counts(row)) async for row in every(self._tables, TABLE, span)], Counter[str]())

    async def _add(self, partition: str, position: Row | None, end: int, events: Sequence[Event]) -> None:
        by_day: dict[str, Counter[str]] = {}
        for event in events:
            by_day.setdefault(hour_bucket(event.at)[:10], Counter())[kind_of(event)] += 1
        days = await asyncio.gather(*(self._tables.get(TABLE, partition, f"daily_counts!{day}") for day in by_day))
        writes: list[Write] = [_put(partition, _NEXT, {"next": end}, position)]
        for (day, counts), row in zip(by_day.items(), days, strict=True):
            writes.append(_added(partition, f"daily_counts!{day}", counts, row))
        ever = await self._tables.get(TABLE, partition, _ALL)
        writes.append(_added(partition, _ALL, sum(by_day.values(), Counter[str]()), ever))
        if waiting_runs.moves(events):
            waits = every(self._tables, TABLE, Span.prefix(partition, waiting_runs.PREFIX))
            new, gone = waiting_runs.changes(partition, [row async for row in waits], events)
            writes += new
            while len(gone) > MAX_WRITES - len(writes):  # of a session that held many and was erased; they go before it
                first, gone = gone[:MAX_WRITES], gone[MAX_WRITES:]
                await self._tables.commit(TABLE, first)
            writes += gone
        await self._tables.commit(TABLE, writes)


def kind_of(event: Event) -> str:
    """Return the key that an event is counted under."""
    details = [event.data[name] for name in ("state", "stage") if name in event.data]
    if event.name == "session.state_changed" and event.data.get("reason"):
        details.append(event.data["reason"])
    if event.name == _HANDOFF:
        details += [event.data["team"], event.data["by"]]
    return ":".join([event.name, *map(str, details)])


def handoffs_of(counts: Mapping[str, int]) -> Mapping[tuple[str, str], int]:
    """Return the handoffs among counts, by team and cause."""
    found: dict[tuple[str, str], int] = {}
    for kind, count in counts.items():
        name, _, details = kind.partition(":")
        team, _, by = details.partition(":")
        if name == _HANDOFF and by:
            found[team, by] = count
    return found


def _counts(row: Row) -> Mapping[str, int]:
    return json.loads(row.text("counts"))


def _added(partition: str, key: str, counts: Counter[str], before: Row | None) -> Write:
    total = counts + Counter(_counts(before)) if before else counts
    return _put(partition, key, {"counts": json.dumps(total)}, before)


def _put(partition: str, key: str, values: dict[str, str | int], before: Row | None) -> Write:
    return put(Row(partition, key, values, before.etag if before else ""))
