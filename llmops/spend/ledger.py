"""The notes of model calls, from which the facts of attempts are made whose workers died.

Table `ledger`, partition `{day}!{shard}`; all of a run's lines of a day share a shard. Rows:
`line!{workspace}!{run}!{attempt}!{call}`  the call;
`open!{workspace}!{run}!{attempt}!{call}`  a call that was begun, at its estimate, until it is settled.
The transaction that writes a line ends the `open!` row; one whose worker died is ended by others, as a line that says
so. Who asked stands in none: that is with the run.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Literal

from kernel.tables import Delete, Insert, Row, RowChanged, RowExists, Span, Tables, Write, every
from llmops.spend.usage import Spend, Usage, spend_of

TABLE = "ledger"
SHARDS = 8
"""Partitions a day's lines are spread over, so that no partition passes the service's 2,000 rows a second."""

Outcome = Literal["answered", "refused", "unsettled"]
Purpose = Literal["answer", "evaluation"]

EXPIRY_DAYS = 3
"""Days back, today included, in which calls that nobody settled are usually found."""


@dataclass(frozen=True, slots=True)
class Line:
    """One priced model call.

    Attributes:
        workspace: Workspace charged.
        run_id: The run it was part of; with attempt and call it is the line's key.
        attempt: The run's attempt, from 1.
        call: The model round trip in the attempt, from 1; those of other purposes count on.
        at: When the call began, aware UTC; its day is the day it is charged to.
        agent: The agent that made it, or that was evaluated.
        session_id: The run's session.
        user_id: Who asked; empty when nobody in particular.
        provider: Who ran the model.
        model: The model as the provider named it in its answer; without an answer, as it was asked for.
        usage: Its tokens; of an unsettled call, the estimate that was reserved for it.
        cost_micro_usd: Its cost with the tools' fees; None when the model has no known price.
        rate: The rate applied, in words; empty when unknown.
        latency_ms: How long the call took; 0 when nobody learnt it.
        purpose: What the call was for.
        outcome: `answered`; `refused` by the provider, which costs nothing; or `unsettled`: it may have been made, but
            worker or connection died before its usage was known, so that it is charged at its estimate.
        tool_micro_usd: The fees of tools that the provider ran, part of the cost.
    """

    workspace: str
    run_id: str
    attempt: int
    call: int
    at: datetime
    agent: str
    session_id: str
    user_id: str
    provider: str
    model: str
    usage: Usage
    cost_micro_usd: int | None
    rate: str
    latency_ms: int
    purpose: Purpose = "answer"
    outcome: Outcome = "answered"
    tool_micro_usd: int = 0

    @property
    def spend(self) -> Spend:
        """What the call came to."""
        if self.outcome == "refused":
            return Spend()
        return spend_of(self.usage, self.cost_micro_usd, unsettled=self.outcome == "unsettled")

    @property
    def home(self) -> str:
        """The partition of its rows."""
        return partition(self.at.date(), shard(self.run_id))

    @property
    def key(self) -> str:
        """What the keys of its rows end with."""
        return f"{self.workspace}!{self.run_id}!{self.attempt:04d}!{self.call:04d}"


def shard(run_id: str) -> int:
    """Return the shard of a run's lines."""
    return int(hashlib.sha256(run_id.encode()).hexdigest()[:8], 16) % SHARDS


def partition(day: date, number: int) -> str:
    """Return the partition of a day's shard."""
    return f"{day.isoformat()}!{number}"


def days(first: date, last: date) -> Iterator[date]:
    """Yield the days from first to last, both included."""
    for offset in range((last - first).days + 1):
        yield first + timedelta(days=offset)


def unsettled(intent: Line) -> Line:
    """Return the line of a call that was begun and of which nothing more is known."""
    return replace(intent, outcome="unsettled")


def to_values(line: Line) -> dict[str, str | int | datetime | None]:
    """Return the line as row properties."""
    values: dict[str, str | int | datetime | None] = {
        name: getattr(line, name) for name in line.__slots__ if name != "usage"
    }
    return values | {name: getattr(line.usage, name) for name in line.usage.__slots__} | {"user_id": ""}


def from_row(row: Row) -> Line:
    """Return the line that a `line!` or `open!` row holds."""
    defaults = {"purpose": "answer", "outcome": "answered", "tool_micro_usd": 0}
    values = {name: row.values.get(name, defaults.get(name)) for name in Line.__slots__ if name != "usage"}
    usage = Usage(**{name: row.integer(name) for name in Usage.__slots__})
    return Line(**values, usage=usage)  # pyright: ignore[reportArgumentType] - written by to_values


class Ledger:
    """Writes lines and reads those of a run."""

    def __init__(self, tables: Tables, recorded: Callable[[Line], None] | None = None) -> None:
        """Set the tables, and who is told of every line once it is written."""
        self._tables = tables
        self._recorded = recorded

    async def begin(self, intent: Line, until: datetime) -> None:
        """Note that the call is about to be made, at its estimate; one that is not recorded until then is unsettled.

        Noting the same call again changes nothing.
        """
        row = Row(intent.home, f"open!{intent.key}", to_values(intent) | {"until": until})
        try:
            await self._tables.commit(TABLE, [Insert(row)])
        except RowExists:
            return  # our own earlier try took effect although its response was lost

    async def record(self, line: Line, *, begun: bool = False) -> Line:
        """Write the line and return the one that stands: the first that was written of this call.

        Args:
            line: The call.
            begun: Whether `begin` noted the call, which ends here.
        """
        values = to_values(line)
        writes: list[Write] = [Insert(Row(line.home, f"line!{line.key}", values))]
        if begun:
            writes.append(Delete(line.home, f"open!{line.key}"))
        try:
            await self._tables.commit(TABLE, writes)
        except (RowExists, RowChanged):
            # Our own earlier try took effect although its response was lost, or the call was given up meanwhile.
            stored = await self._tables.get(TABLE, line.home, f"line!{line.key}")
            return from_row(stored) if stored else await self.record(line)
        if self._recorded is not None:
            self._recorded(line)
        return line

    async def lines(self, workspace: str, run_id: str, first: date, last: date) -> Sequence[Line]:
        """Return the run's lines of these days, in order of attempt and call."""
        found = await self._of_run("line", workspace, run_id, first, last)
        return sorted(map(from_row, found), key=lambda line: (line.attempt, line.call))

    async def latest_call(self, workspace: str, run_id: str, attempt: int, first: date, last: date) -> int:
        """Return the number of the last call of the attempt that was recorded or begun in these days; 0 for none."""
        found = await asyncio.gather(*(self._of_run(kind, workspace, run_id, first, last) for kind in ("line", "open")))
        lines = [from_row(row) for rows in found for row in rows]
        return max((line.call for line in lines if line.attempt == attempt), default=0)

    async def give_up(self, workspace: str, run_id: str, before_attempt: int, first: date, last: date) -> int:
        """Record what earlier attempts of the run began and never settled, and return how many calls that were."""
        rows = await self._of_run("open", workspace, run_id, first, last)
        lost = [line for line in map(from_row, rows) if line.attempt < before_attempt]
        for line in lost:
            await self.record(unsettled(line), begun=True)
        return len(lost)

    async def expire(self, now: datetime, look_back: int = EXPIRY_DAYS) -> Sequence[Line]:
        """Record every call that was begun in so many last days and was not settled in time, and return the lines."""
        today = now.date()
        spans = [
            Span.prefix(partition(day, number), "open!")
            for day in days(today - timedelta(days=look_back - 1), today)
            for number in range(SHARDS)
        ]
        return [line for found in await asyncio.gather(*(self._expire(span, now) for span in spans)) for line in found]

    async def _expire(self, span: Span, now: datetime) -> Sequence[Line]:
        found: list[Line] = []
        async for row in every(self._tables, TABLE, span):
            until = row.moment("until")
            if until is None or until <= now:
                found.append(await self.record(unsettled(from_row(row)), begun=True))
        return found

    async def _of_run(self, kind: str, workspace: str, run_id: str, first: date, last: date) -> Sequence[Row]:
        prefix = f"{kind}!{workspace}!{run_id}!"
        return [
            row
            for day in days(first, last)
            async for row in every(self._tables, TABLE, Span.prefix(partition(day, shard(run_id)), prefix))
        ]
