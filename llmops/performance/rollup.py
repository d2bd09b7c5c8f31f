"""Adding outcomes to sums, each once, and reading the sums; what is not added yet is read along.

Each outcome goes into two sums of its agent and version: `hour!{workspace}!{agent}!{hour}!{version}`, kept, and
`slot!{workspace}!{agent}!{minute}!{version}`, kept for OPEN_DAYS, which alerts look at. The outcomes
themselves go then, too: whoever writes one does so at most moments after its attempt ended, so none comes again.
Partition `_progress` row `closed` holds the last day that is folded for good.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from kernel.codec import JsonCodec
from kernel.folding import NEW, Sums, fold
from kernel.tables import MAX_WRITES, Delete, Row, RowChanged, Span, Tables, Upsert, every, first_rows
from llmops.performance.outcomes import SHARDS, TABLE, Outcome, outcome_of, partition, shard
from llmops.performance.summary import Summary, summary_of
from llmops.spend.ledger import days

OPEN_DAYS = 2
"""A day is folded until this many days have begun since; an outcome that comes even later is read, but not added up."""
MINUTES_UP_TO = timedelta(hours=6)
"""Longest window that is read by the minute; a longer one is read by the hour."""
_PROGRESS = ("_progress", "closed")
_HOUR, _MINUTE = "%Y-%m-%dT%H", "%Y-%m-%dT%H:%M"


@dataclass(frozen=True, slots=True)
class Cell:
    """What an agent's version did in an hour or a minute.

    Attributes:
        agent: The agent.
        version: Its version at the provider; empty when attempts did not come as far as having one.
        start: The hour's or minute's begin, aware UTC.
        summary: What it did.
    """

    agent: str
    version: str
    start: datetime
    summary: Summary


_CELL = JsonCodec(Cell)


def _of(outcome: Outcome, form: str) -> Cell:
    start = datetime.strptime(outcome.at.astimezone(UTC).strftime(form), form).replace(tzinfo=UTC)
    return Cell(outcome.agent, outcome.version, start, summary_of(outcome))


def _parts(row: Row) -> Sequence[tuple[str, Cell]]:
    outcome = outcome_of(row)
    version = hashlib.sha256(outcome.version.encode()).hexdigest()[:16]  # versions may hold what keys may not
    return [
        (f"{kind}!{outcome.workspace}!{outcome.agent}!{cell.start.strftime(form)}!{version}", cell)
        for kind, form in (("hour", _HOUR), ("slot", _MINUTE))
        for cell in (_of(outcome, form),)
    ]


def _added(one: Cell, other: Cell) -> Cell:
    return Cell(one.agent, one.version, one.start, one.summary + other.summary)


_SUMS: Sums[Cell] = Sums(
    TABLE, _parts, lambda row: _CELL.load(row.text("cell")), lambda cell: {"cell": _CELL.dump(cell)}, _added
)


class Rollup:
    """Folds outcomes, and reads what they come to."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def fold(self, now: datetime) -> int:
        """Add what is new to the sums and return how much that was. Doing it again, or after a crash, adds nothing."""
        today = now.date()
        first = await self._first_open_day(today)
        folded = 0
        for day in days(first, today):
            counts = [fold(self._tables, _SUMS, partition(day, number)) for number in range(SHARDS)]
            folded += sum(await asyncio.gather(*counts))
        closed = today - timedelta(days=OPEN_DAYS)
        if closed >= first:
            for day in days(first, closed):
                await asyncio.gather(*(self._drop_details(partition(day, number)) for number in range(SHARDS)))
            await self._tables.commit(TABLE, [Upsert(Row(*_PROGRESS, {"day": closed.isoformat()}))])
        return folded

    async def hours(self, workspace: str, agent: str | None, first: date, last: date) -> Sequence[Cell]:
        """Return what an agent, or every agent of the workspace, did from the first to the last UTC day, by the hour.

        An outcome that is being folded at this moment may be missing; none is ever counted twice.
        """
        return await self._read("hour", _HOUR, workspace, agent, list(days(first, last)))

    async def window(self, workspace: str, agent: str | None, since: datetime, now: datetime) -> Sequence[Cell]:
        """Return what an agent, or every agent, did since then: by the minute, or by the hour if that is long ago.

        The minute or hour that `since` falls in is part of it.
        """
        kind, form = ("slot", _MINUTE) if now - since <= MINUTES_UP_TO else ("hour", _HOUR)
        cells = await self._read(kind, form, workspace, agent, list(days(since.date(), now.date())))
        start = since.astimezone(UTC).strftime(form)
        return [cell for cell in cells if cell.start.strftime(form) >= start]

    async def _read(
        self, kind: str, form: str, workspace: str, agent: str | None, wanted: Sequence[date]
    ) -> Sequence[Cell]:
        shards = range(SHARDS) if agent is None else [shard(workspace, agent)]
        below = f"{workspace}!" if agent is None else f"{workspace}!{agent}!"
        turnstile = asyncio.Semaphore(16)

        async def one(home: str) -> list[Cell]:
            async with turnstile:
                # Sums first: an outcome folded in between is missed for a moment rather than counted twice.
                sums = every(self._tables, TABLE, Span.prefix(home, f"{kind}!{below}"))
                found = [_SUMS.load(row) async for row in sums]
                new = every(self._tables, TABLE, Span.prefix(home, f"{NEW}{below}"))
                return found + [_of(outcome_of(row), form) async for row in new]

        homes = [partition(day, number) for day in wanted for number in shards]
        return [cell for cells in await asyncio.gather(*map(one, homes)) for cell in cells]

    async def _first_open_day(self, today: date) -> date:
        progress = await self._tables.get(TABLE, *_PROGRESS)
        if progress is not None:
            return date.fromisoformat(progress.text("day")) + timedelta(days=1)
        oldest = await first_rows(self._tables, TABLE, Span("0", partition_before=":"), 1)
        return date.fromisoformat(oldest[0].partition[:10]) if oldest else today

    async def _drop_details(self, home: str) -> None:
        for kind in ("slot!", "end!"):
            while rows := await first_rows(self._tables, TABLE, Span.prefix(home, kind), MAX_WRITES):
                try:
                    await self._tables.commit(TABLE, [Delete(home, row.key) for row in rows])
                except RowChanged:
                    continue  # our own earlier try took effect, or somebody else is at it


def versions_of(cells: Sequence[Cell]) -> Iterator[tuple[str, datetime, Summary]]:
    """Yield each version with when it was first seen in these cells and what it did, in that order."""
    sums: dict[str, tuple[datetime, Summary]] = {}
    for cell in cells:
        start, summary = sums.get(cell.version, (cell.start, Summary()))
        sums[cell.version] = (min(start, cell.start), summary + cell.summary)
    for version, (start, summary) in sorted(sums.items(), key=lambda item: (item[1][0], item[0])):
        yield version, start, summary
