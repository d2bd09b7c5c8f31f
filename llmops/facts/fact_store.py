"""Storage of facts: one row for each attempt that ended, written once under a deterministic key.

Table `facts`, partition `{day}!{shard}`: the UTC day on which the attempt ended, and the shard of its agent. A judge's
fact and all later changes of a score are in the partition of the attempt that answered. Rows, where `{key}` is
`{workspace}!{agent}!{newest first by acceptance}!{run}!{attempt}` and for an evaluation also `!{judge}.{first call}`:
`fact!{key}`    the fact; of an answer, with its current score;
`new!{key}`     the same fact until `llmops.facts.summing` has added it to the sums;
`judge!{key}!{judge}`   a judge of the answer whose result is pending;
`cost!…`, `hour!…`, `slot!…`, `score!…`, `access!…`   the sums.
The first two are inserted in one transaction, so that each fact is added exactly once, whenever that happens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from kernel.codec import JsonCodec, readable
from kernel.group_commit import GroupInserts
from kernel.ids import newest_first
from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Replace, Row, RowChanged, RowExists, Span, Tables, every
from llmops.facts.attempt_fact import AttemptFact, Call, bounded, without_arguments

TABLE = "facts"
SHARDS = 8
"""Partitions of a day's facts, by agent: one partition takes at most 2,000 rows a second (a limit of the service)."""


@dataclass(frozen=True, slots=True)
class StoredFact:
    """A stored fact with the state of its evaluation.

    Attributes:
        fact: The fact.
        judged: Judges whose results have come, or that were given up.
        judged_at: When the last judge's result came, aware UTC; None before.
        erased: Whether the run was erased; reasons, which may quote the answer, are then not kept.
    """

    fact: AttemptFact
    judged: tuple[str, ...] = ()
    judged_at: datetime | None = None
    erased: bool = False


FACT = JsonCodec(AttemptFact)
_KEPT = JsonCodec(StoredFact)
NOTED_CALLS: JsonCodec[tuple[Call, ...]] = JsonCodec(tuple[Call, ...])


def shard(workspace: str, agent: str) -> int:
    """Return the shard of an agent's facts."""
    return int(hashlib.sha256(f"{workspace}\n{agent}".encode()).hexdigest()[:8], 16) % SHARDS


def partition(day: date, number: int) -> str:
    """Return the partition of a day's shard."""
    return f"{day.isoformat()}!{number}"


def days(first: date, last: date) -> Iterator[date]:
    """Yield the days from first to last, both included."""
    for offset in range((last - first).days + 1):
        yield first + timedelta(days=offset)


def home_of(fact: AttemptFact) -> str:
    """Return the partition of an attempt's rows; those of a judge are in that of the attempt that answered."""
    return partition(fact.timing.ended_at.date(), shard(fact.who.workspace, fact.who.agent))


def key_of(fact: AttemptFact) -> str:
    """Return the suffix of the keys of the fact's rows."""
    which = newest_first(fact.timing.accepted_at, fact.who.run_id)
    judge = f"!{fact.judge}.{fact.calls[0].number if fact.calls else 0}" if fact.judge else ""
    return f"{fact.who.workspace}!{fact.who.agent}!{which}!{fact.attempt:04d}{judge}"


def kept_row(home: str, kept: StoredFact, etag: str = "") -> Row:
    """Return the `fact!` row of a fact."""
    fact = kept.fact
    scored = fact.score is not None and not fact.judge
    values = {"fact": _KEPT.dump(kept), "version": fact.who.version, "scored": scored}
    return Row(home, f"fact!{key_of(fact)}", values, etag)


def new_row(home: str, fact: AttemptFact) -> Row:
    """Return the `new!` row of a fact; it holds neither reasons nor arguments."""
    plain = replace(fact, score=replace(fact.score, reasons={})) if fact.score else fact
    plain = replace(plain, tools=without_arguments(plain.tools))
    return Row(home, f"new!{key_of(fact)}", {"fact": FACT.dump(plain)})


def kept_of(row: Row) -> StoredFact:
    """Return the fact in a `fact!` row."""
    return _KEPT.load(row.text("fact"))


def new_of(row: Row) -> AttemptFact:
    """Return the fact in a `new!` row."""
    return FACT.load(row.text("fact"))


def noted_calls(row: Row) -> tuple[Call, ...]:
    """Return a judge's model calls stored in a `judge!` row; the last one may be under way."""
    return NOTED_CALLS.load(row.text("calls")) if row.values.get("calls") else ()


class Facts:
    """Writes facts, and reads those of a run."""

    def __init__(self, tables: Tables, recorded: Callable[[AttemptFact], None] | None = None) -> None:
        """Set the tables, and the function that is called with every fact once it is written."""
        self._tables = tables
        self._inserts = GroupInserts(tables, TABLE)
        self._recorded = recorded

    async def record(self, fact: AttemptFact) -> AttemptFact:
        """Write the fact and return the stored one, which is the first that was written for this attempt.

        It takes one request or part of one: concurrent facts of a partition share a transaction. The parts of the key
        (workspace, agent, run, attempt, acceptance and end) must be read from the committed run, so that a repetition
        after a crash writes under the same key. Judges that are pending in the answer's score are entered with it.

        Raises:
            Unavailable: It could not be written; it may have been.
        """
        fact, home = bounded(fact), home_of(fact)
        rows = [kept_row(home, StoredFact(fact)), new_row(home, fact)]
        if fact.score is not None and not fact.judge:
            rows += [Row(home, f"judge!{key_of(fact)}!{judge}", {"tries": 0}) for judge in fact.score.pending]
        try:
            await self._inserts.insert(home, rows)
        except RowExists:
            # Written before, perhaps by this very call, whose response was lost.
            row = await self._tables.get(TABLE, home, f"fact!{key_of(fact)}")
            return kept_of(row).fact if row else fact
        if self._recorded is not None:
            self._recorded(fact)
        return fact

    async def of_run(
        self, workspace: str, agent: str, run_id: str, accepted_at: datetime, last: datetime
    ) -> Sequence[StoredFact]:
        """Return the facts of a run accepted at that time and ended by `last`, in order of attempt."""
        rows = await self.rows_of_run(workspace, agent, run_id, accepted_at, last)
        return sorted((kept_of(row) for row in rows), key=lambda kept: (kept.fact.attempt, kept.fact.judge))

    async def rows_of_run(
        self, workspace: str, agent: str, run_id: str, accepted_at: datetime, last: datetime
    ) -> Sequence[Row]:
        """Return the rows that `of_run` reads."""
        return await self._of_run("fact", workspace, agent, run_id, accepted_at, last)

    async def noted_by_judges(
        self, workspace: str, agent: str, run_id: str, accepted_at: datetime, last: datetime
    ) -> Sequence[Call]:
        """Return the model calls noted by judges of the run's answers whose facts may not be written yet."""
        rows = await self._of_run("judge", workspace, agent, run_id, accepted_at, last)
        return [call for row in rows for call in noted_calls(row)]

    async def _of_run(
        self, kind: str, workspace: str, agent: str, run_id: str, accepted_at: datetime, last: datetime
    ) -> Sequence[Row]:
        prefix = f"{kind}!{workspace}!{agent}!{newest_first(accepted_at, run_id)}!"
        number = shard(workspace, agent)
        return [
            row
            for day in days(accepted_at.date(), last.date())
            async for row in every(self._tables, TABLE, Span.prefix(partition(day, number), prefix))
        ]


class FactDeletion:
    """Deletes a workspace's facts day by day; the sums stay."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def delete(self, workspace: str, day: date) -> int:
        """Delete the facts of attempts that ended on the day, and return their number.

        Facts not in the sums yet are kept. Safe to repeat, and to run twice at once.
        """
        counts = [await self._delete(workspace, partition(day, number)) for number in range(SHARDS)]
        return sum(counts)

    async def reduce(self, workspace: str, day: date, change: Callable[[AttemptFact], AttemptFact]) -> int:
        """Change the facts of attempts that ended on the day, and return the number changed.

        Facts not in the sums yet are left unchanged. Safe to repeat, and to run twice at once.
        """
        counts = [await self._reduce(workspace, partition(day, number), change) for number in range(SHARDS)]
        return sum(counts)

    async def _reduce(self, workspace: str, home: str, change: Callable[[AttemptFact], AttemptFact]) -> int:
        waiting = await self._unsummed(workspace, home)
        count, token = 0, None
        while True:
            page = await self._tables.query(TABLE, Span.prefix(home, f"fact!{workspace}!"), limit=100, token=token)
            for row, kept in readable(page.rows, lambda row: (row, kept_of(row)), "fact"):
                after = replace(kept, fact=change(kept.fact))
                if after == kept or row.key.removeprefix("fact!") in waiting:
                    continue
                try:
                    await self._tables.commit(TABLE, [Replace(kept_row(home, after, row.etag))])
                except RowChanged:  # another process was faster, or our first try took effect
                    continue
                count += 1
            token = page.next
            if token is None:
                return count

    async def _unsummed(self, workspace: str, home: str) -> frozenset[str]:
        span = Span.prefix(home, f"new!{workspace}!")
        return frozenset([row.key.removeprefix("new!") async for row in every(self._tables, TABLE, span)])

    async def _delete(self, workspace: str, home: str) -> int:
        waiting = await self._unsummed(workspace, home)
        count, token = 0, None
        while True:
            page = await self._tables.query(TABLE, Span.prefix(home, f"fact!{workspace}!"), limit=100, token=token)
            gone = [row for row in page.rows if row.key.removeprefix("fact!") not in waiting]
            try:
                await self._tables.commit(TABLE, [Delete(row.partition, row.key, row.etag) for row in gone])
            except RowChanged:
                count += sum([await self._delete_one(row) for row in gone])
            else:
                count += len(gone)
            token = page.next
            if token is None:
                return count

    async def _delete_one(self, row: Row) -> int:
        try:
            await self._tables.commit(TABLE, [Delete(row.partition, row.key)])
        except RowChanged:  # another process was faster
            return 0
        return 1
