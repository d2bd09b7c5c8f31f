"""Adding facts to sums, each once, and closing days.

Table `facts`, partition `_progress`: row `closed` holds the last day that is closed; `scores!{day}` how many facts of
each shard the published scores of a closed day hold. A day is closed when OPEN_DAYS further days have begun: its sums
by minute are deleted, and the sums of its scores are published, so that an agent's scores can be read without reading
every day: partition `_scores!{workspace}!{agent}`, row `{day}!{version}`. Facts that arrive even later are added once a
day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from kernel.aggregation import NEW, Sums, aggregate
from kernel.codec import JsonCodec, readable
from kernel.tables import MAX_WRITES, Delete, Row, RowChanged, Span, Tables, Upsert, every, first_rows
from llmops.facts import sums
from llmops.facts.fact_store import SHARDS, TABLE, days, home_of, key_of, new_of, partition
from llmops.facts.sums import DaySum, Sum

if TYPE_CHECKING:
    from llmops.facts.attempt_fact import AttemptFact

OPEN_DAYS = 3
"""Number of days that must have begun after a day before it is closed."""
LATE_DAYS = 35
"""For how many closed days late facts are looked for, once a day."""
_PROGRESS = "_progress"
_CLOSED = (_PROGRESS, "closed")
DAY_SUM = JsonCodec(DaySum, whole=True)
NOTHING = " ".join(["0"] * SHARDS)
"""What `counts` returns for a day without facts."""


def score_change_row(fact: AttemptFact, judge: str, change: DaySum) -> Row:
    """Return the row that carries a judge's change of a score until it is added to the sums."""
    who = fact.who
    values = {"scores": DAY_SUM.dump(change), "sum": sums.score_key(who.workspace, who.agent, who.version)}
    return Row(home_of(fact), f"{NEW}{key_of(fact)}!{judge}", values)


def parts_of(row: Row) -> Sequence[tuple[str, Sum]]:
    """Return the changes that a `new!` row makes, by key of the sum."""
    if "scores" in row.values:
        return [(sums.FOLDED, 1), (row.text("sum"), DAY_SUM.load(row.text("scores")))]
    return sums.sums_of(new_of(row))


def _added(one: Sum, other: Sum) -> Sum:
    return one + other  # pyright: ignore[reportOperatorIssue, reportUnknownVariableType] - of one key, so of one kind


def _folded(row: Row) -> str:
    # A sum that cannot be read is skipped: nothing is added to it.
    return next((str(count) for count in readable([row], sums.load, "sum of facts")), "?")


_SUMS: Sums[Sum] = Sums(TABLE, parts_of, sums.load, sums.dump, _added)


class FactAggregation:
    """Adds facts to the sums, and closes days."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def run(self, now: datetime) -> int:
        """Add new facts to the sums and return their number. Safe to repeat: no fact is added twice."""
        today = now.date()
        first = await self.first_open_day(today)
        closed = today - timedelta(days=OPEN_DAYS)
        folded = 0
        if closed >= first:
            for day in days(first - timedelta(days=LATE_DAYS), first - timedelta(days=1)):
                folded += await self._fold_late(day)
        for day in days(first, today):
            folded += await self._fold(day)
        if closed >= first:
            for day in days(first, closed):
                await self._close(day)
            await self._tables.commit(TABLE, [Upsert(Row(*_CLOSED, {"day": closed.isoformat()}))])
        return folded

    async def first_open_day(self, today: date) -> date:
        """Return the first day not closed: the one after the last closed day, or the first with a fact."""
        progress = await self._tables.get(TABLE, *_CLOSED)
        if progress is not None:
            return date.fromisoformat(progress.text("day")) + timedelta(days=1)
        return await self.first_day(today)

    async def first_day(self, today: date) -> date:
        """Return the first day with a fact; today if there is none."""
        oldest = await first_rows(self._tables, TABLE, Span("0", partition_before=":"), 1)
        return date.fromisoformat(oldest[0].partition[:10]) if oldest else today

    async def counts(self, day: date) -> str:
        """Return the number of facts in the day's sums by shard, as text: equal texts mean that no sum has changed."""
        rows = await asyncio.gather(
            *(self._tables.get(TABLE, partition(day, number), sums.FOLDED) for number in range(SHARDS))
        )
        return " ".join(_folded(row) if row else "0" for row in rows)

    async def _fold(self, day: date) -> int:
        return sum(
            await asyncio.gather(*(aggregate(self._tables, _SUMS, partition(day, number)) for number in range(SHARDS)))
        )

    async def _fold_late(self, day: date) -> int:
        folded = await self._fold(day)
        published = await self._tables.get(TABLE, _PROGRESS, f"scores!{day.isoformat()}")
        if folded or (published is not None and published.text("counts") != await self.counts(day)):
            await self._close(day)
        return folded

    async def _close(self, day: date) -> None:
        counts = await self.counts(day)  # read before the sums, which therefore hold at least this much
        await asyncio.gather(*(self._close_shard(day, number) for number in range(SHARDS)))
        row = Row(_PROGRESS, f"scores!{day.isoformat()}", {"counts": counts})
        await self._tables.commit(TABLE, [Upsert(row)])

    async def _close_shard(self, day: date, number: int) -> None:
        home = partition(day, number)
        async for row in every(self._tables, TABLE, Span.prefix(home, "score!")):
            for total in readable([row], lambda row: DAY_SUM.load(row.text("sum")), "sum of facts"):
                _, workspace, agent, version = row.key.split("!")
                values = {"sum": DAY_SUM.dump(total)}
                await self._tables.commit(
                    TABLE, [Upsert(Row(scores_home(workspace, agent), f"{day.isoformat()}!{version}", values))]
                )
        while rows := await first_rows(self._tables, TABLE, Span.prefix(home, "slot!"), MAX_WRITES):
            try:
                await self._tables.commit(TABLE, [Delete(home, row.key) for row in rows])
            except RowChanged:
                continue  # our earlier try took effect, or another process is closing the day


def scores_home(workspace: str, agent: str) -> str:
    """Return the partition of an agent's published scores."""
    return f"_scores!{workspace}!{agent}"
