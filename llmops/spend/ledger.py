"""The ledger: one line per model call, written once by a key that the call determines.

Table `ledger`, partition `{day}!{shard}`; all of a run's lines of a day share a shard. Rows:
`line!{workspace}!{run}!{attempt}!{call}`  the call, kept;
`new!{workspace}!{run}!{attempt}!{call}`   the same call until `llmops.spend.reports` has added it to a sum;
`sum!{workspace}!{digest}`                 what the calls of one group came to (`llmops.spend.rollup`).
A line and its `new!` row are inserted in one transaction, so each call is counted once, whenever it is aggregated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from kernel.tables import Insert, Row, RowExists, Span, Tables, every
from llmops.spend.usage import Spend, Usage, spend_of

TABLE = "ledger"
SHARDS = 8
"""Partitions a day's lines are spread over, so that no partition passes the service's 2,000 rows a second."""


@dataclass(frozen=True, slots=True)
class Line:
    """One priced model call.

    Attributes:
        workspace: Workspace charged.
        run_id: The run it was part of; with attempt and call it is the line's key.
        attempt: The run's attempt, from 1.
        call: The model round trip in the attempt, from 1.
        at: When the call ended, aware UTC.
        agent: The agent that made it.
        session_id: The run's session.
        user_id: Who asked; empty when nobody in particular.
        provider: Who ran the model.
        model: The model as the provider named it in its answer.
        usage: Its tokens.
        cost_micro_usd: Its cost; None when the model has no known price.
        rate: The rate applied, in words; empty when unknown.
        latency_ms: How long the call took.
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

    @property
    def spend(self) -> Spend:
        """What the call came to."""
        return spend_of(self.usage, self.cost_micro_usd)


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


def to_values(line: Line) -> dict[str, str | int | datetime | None]:
    """Return the line as row properties."""
    values: dict[str, str | int | datetime | None] = {
        name: getattr(line, name) for name in line.__slots__ if name != "usage"
    }
    return values | {name: getattr(line.usage, name) for name in line.usage.__slots__}


def from_row(row: Row) -> Line:
    """Return the line that a `line!` or `new!` row holds."""
    values = {name: row.values.get(name) for name in Line.__slots__ if name != "usage"}
    usage = Usage(**{name: row.integer(name) for name in Usage.__slots__})
    return Line(**values, usage=usage)  # pyright: ignore[reportArgumentType] - written by to_values


class Ledger:
    """Writes lines and reads those of a run."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def record(self, line: Line) -> None:
        """Write the line; writing the same line again changes nothing."""
        home = partition(line.at.date(), shard(line.run_id))
        key = f"{line.workspace}!{line.run_id}!{line.attempt:04d}!{line.call:04d}"
        values = to_values(line)
        rows = [Insert(Row(home, f"line!{key}", values)), Insert(Row(home, f"new!{key}", values))]
        try:
            await self._tables.commit(TABLE, rows)
        except RowExists:
            return  # our own earlier try took effect although its response was lost

    async def lines(self, workspace: str, run_id: str, first: date, last: date) -> Sequence[Line]:
        """Return the run's lines of these days, in order of attempt and call."""
        prefix = f"line!{workspace}!{run_id}!"
        found = [
            from_row(row)
            for day in days(first, last)
            async for row in every(self._tables, TABLE, Span.prefix(partition(day, shard(run_id)), prefix))
        ]
        return sorted(found, key=lambda line: (line.attempt, line.call))
