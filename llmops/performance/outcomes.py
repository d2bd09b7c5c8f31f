"""Outcomes: one row for each attempt that ended, written once by a key that the attempt determines.

Table `outcomes`, partition `{day}!{shard}`; all of an agent's rows of a day share a shard. Rows:
`end!{workspace}!{run}!{attempt}`           the outcome, kept while its day is open: an attempt counts once;
`new!{workspace}!{agent}!{run}!{attempt}`   the same until `llmops.performance.rollup` has added it to the sums;
`hour!…`, `slot!…`                          the sums.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from kernel.codec import JsonCodec
from kernel.tables import Insert, Row, RowExists, Tables
from llmops.spend.usage import Spend

TABLE = "outcomes"
SHARDS = 8
"""Partitions a day's outcomes are spread over, by agent."""


class Ending(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"  # the run was answered
    FAILED = "failed"  # the run failed for good
    CANCELLED = "cancelled"  # the run was cancelled
    RETRIED = "retried"  # the attempt failed and the run is tried again
    PAUSED = "paused"  # a budget stopped it, and the run waits


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt at a run ended.

    Attributes:
        workspace: The run's workspace.
        agent: The agent asked.
        version: The agent's version at the provider; empty when the attempt did not come as far.
        model: The model that answered, as the provider named it; empty when none did.
        run_id: The run; with the attempt it is the outcome's key.
        session_id: The run's session.
        attempt: The run's attempt, from 1.
        ending: See Ending.
        code: Why it did not succeed; empty when it did.
        dead: Whether the run failed though trying again might have helped: its message is a dead letter.
        model_ms: How long the attempt's model calls took; 0 when it made none, or nobody knows.
        total_ms: From the run's acceptance to this end, in ms.
        queue_ms: From its acceptance to its first claim, in ms.
        spend: What was spent since the run's last attempt ended; over a run's outcomes it adds up to the run's spend.
        wasted: Of that, what gave no answer, in micro-USD.
        quality: The answer's score, 0-100; None without one.
        at: When it ended, aware UTC.
    """

    workspace: str
    agent: str
    version: str
    model: str
    run_id: str
    session_id: str
    attempt: int
    ending: Ending
    code: str
    dead: bool
    model_ms: int
    total_ms: int
    queue_ms: int
    spend: Spend
    wasted: int
    quality: int | None
    at: datetime

    @property
    def final(self) -> bool:
        """Whether the run ended with it."""
        return self.ending in (Ending.SUCCEEDED, Ending.FAILED, Ending.CANCELLED)


_OUTCOME = JsonCodec(Outcome)


def shard(workspace: str, agent: str) -> int:
    """Return the shard of an agent's outcomes."""
    return int(hashlib.sha256(f"{workspace}\n{agent}".encode()).hexdigest()[:8], 16) % SHARDS


def partition(day: date, number: int) -> str:
    """Return the partition of a day's shard."""
    return f"{day.isoformat()}!{number}"


def outcome_of(row: Row) -> Outcome:
    """Return the outcome that an `end!` or `new!` row holds."""
    return _OUTCOME.load(row.text("outcome"))


class Outcomes:
    """Writes outcomes."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def record(self, outcome: Outcome) -> None:
        """Write the outcome; writing that of the same attempt again changes nothing."""
        home = partition(outcome.at.date(), shard(outcome.workspace, outcome.agent))
        values = {"outcome": _OUTCOME.dump(outcome)}
        which = f"{outcome.run_id}!{outcome.attempt:04d}"
        rows = [
            Insert(Row(home, f"end!{outcome.workspace}!{which}", values)),
            Insert(Row(home, f"new!{outcome.workspace}!{outcome.agent}!{which}", values)),
        ]
        try:
            await self._tables.commit(TABLE, rows)
        except RowExists:
            return  # recorded before, perhaps by this very call
