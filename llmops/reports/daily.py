"""Daily costs of every workspace, written when facts are added up.

Table `reports`, partition = workspace. Rows:
`cost!{day}!{digest}`    the spend of one group;
`sheet!{day}`            the day by agent, model and user;
`day!{newest first}`     the day's total, and a digest of the sums it was made from.
Partition `_aggregation`: `closed` the last day that is not looked at any more; `summed!{day}` how many facts of each
shard the rows of a day include; `rewritten!{day}!{workspace}` that a workspace's rows of the day were written again.
Partition `_workspaces` names every workspace that ever spent anything.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from kernel.codec import JsonCodec, all_readable
from kernel.ids import new_id
from kernel.lazy_dataclass import dataclass
from kernel.tables import MAX_WRITES, Delete, Row, RowChanged, Span, Tables, Upsert, Write, every
from llmops.facts import sums as facts
from llmops.facts.fact_store import days
from llmops.facts.sum_reader import FactSums
from llmops.facts.summing import LATE_DAYS, NOTHING, OPEN_DAYS, FactAggregation
from llmops.facts.sums import CostSum
from llmops.reports.report import Day, day_of
from llmops.spend.usage import Spend

if TYPE_CHECKING:
    from llmops.spend.costs import Group

TABLE = "reports"
MOST_NAMES = 1000
"""Most names in each breakdown of a day."""

_AGGREGATION = "_aggregation"
_WORKSPACES = "_workspaces"
_DAY = JsonCodec(Day)
_SPEND = JsonCodec(Spend)


@dataclass(frozen=True, slots=True)
class Aggregated:
    """What one aggregation did: the numbers of days examined, facts added, and workspaces' days that changed."""

    days: Sequence[date]
    folded: int
    changed: int


class DailyCosts:
    """Writes and reads the cost of each day."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._folding = FactAggregation(tables)
        self._figures = FactSums(tables)

    async def aggregate(self, now: datetime) -> Aggregated:
        """Add new facts to the sums, and the sums to the reports. Safe to repeat, also after a crash."""
        today = now.date()
        folded = await self._folding.run(now)
        first = await self._first_open_day(today)
        looked_at = list(days(first, today))
        closed = today - timedelta(days=OPEN_DAYS)
        closing = closed >= first
        if closing:
            looked_at = [*await self._late_days(first, closed), *looked_at]
        changed = 0
        for day in looked_at:
            changed += await self._aggregate(day, now)
        if closing:
            await self._tables.commit(TABLE, [Upsert(Row(_AGGREGATION, "closed", {"day": closed.isoformat()}))])
        return Aggregated(looked_at, folded, changed)

    async def rewrite(self, workspace: str, day: date) -> None:
        """Write the workspace's rows of the day again from the current sums; rows without a sum are deleted."""
        # Noted first: an aggregation that read the sums before they changed repeats this once it has written.
        note = Row(_AGGREGATION, f"{_rewritten(day)}{workspace}", {"id": new_id()})
        await self._tables.commit(TABLE, [Upsert(note)])
        await self._rewrite(workspace, day)

    async def _rewrite(self, workspace: str, day: date) -> None:
        sums = await self._figures.costs(day, workspace, new=False)
        keys = {cost_key(day, group) for group in sums}
        span = Span.prefix(workspace, f"cost!{day.isoformat()}!")
        for key in [row.key async for row in every(self._tables, TABLE, span) if row.key not in keys]:
            try:
                await self._tables.commit(TABLE, [Delete(workspace, key)])
            except RowChanged:
                continue  # another process deleted it
        stored = (await self.daily_sums(workspace, day, day)).get(day)
        if stored is not None:
            await self._write(workspace, day, sums, stored.updated_at, force=True)

    async def sums(self, workspace: str, first: date, last: date, today: date) -> dict[date, dict[Group, Spend]]:
        """Return a workspace's sums by day: stored ones of closed days, and for open days the facts as of now.

        A fact being folded right now may be missing from an open day; none is counted twice.
        """
        first_open = await self._first_open_day(today)
        found: dict[date, dict[Group, Spend]] = {}
        if first < first_open:
            end = min(last, first_open - timedelta(days=1)) + timedelta(days=1)
            span = Span(workspace, key_from=f"cost!{first.isoformat()}", key_before=f"cost!{end.isoformat()}")
            rows = every(self._tables, TABLE, span)
            async for day, (group, spend) in all_readable(rows, _cost_of, "cost of a day"):
                found.setdefault(day, {})[group] = spend
        for day in days(max(first, first_open), min(last, today)):
            found[day] = await self._figures.costs(day, workspace)
        return found

    async def daily_sums(self, workspace: str, first: date, last: date) -> dict[date, Day]:
        """Return the breakdowns of the days, both included, on which anything was spent."""
        end = last + timedelta(days=1)
        span = Span(workspace, key_from=f"sheet!{first.isoformat()}", key_before=f"sheet!{end.isoformat()}")
        rows = every(self._tables, TABLE, span)
        return {day: sheet async for day, sheet in all_readable(rows, _sheet_of, "sheet of a day")}

    async def totals(self, workspace: str, before: date | None = None) -> AsyncIterator[tuple[date, Spend]]:
        """Yield the days on which anything was spent with their totals, newest first, starting before a day."""
        after = _day_key(before) if before else None
        rows = every(self._tables, TABLE, Span.prefix(workspace, "day!", after=after), page=100)
        async for day, total in all_readable(rows, _total_of, "total of a day"):
            yield day, total

    async def days(self, workspace: str, before: date) -> AsyncIterator[date]:
        """Yield the days before one on which any attempt ended, newest first."""
        async for day, _ in self.totals(workspace, before):
            yield day

    async def workspaces(self) -> AsyncIterator[str]:
        """Yield every workspace that ever spent anything."""
        async for row in every(self._tables, TABLE, Span(_WORKSPACES)):
            yield row.key

    async def _first_open_day(self, today: date) -> date:
        progress = await self._tables.get(TABLE, _AGGREGATION, "closed")
        if progress is not None:
            return date.fromisoformat(progress.text("day")) + timedelta(days=1)
        return await self._folding.first_day(today)

    async def _late_days(self, first_open: date, closed: date) -> Sequence[date]:
        """Return the closed days to which late facts were added."""
        looked_for = list(days(closed - timedelta(days=LATE_DAYS), first_open - timedelta(days=1)))
        grown = await asyncio.gather(*map(self._has_grown, looked_for))
        return [day for day, late in zip(looked_for, grown, strict=True) if late]

    async def _has_grown(self, day: date) -> bool:
        summed = await self._tables.get(TABLE, _AGGREGATION, _summed(day))
        counts = await self._folding.counts(day)
        return counts != (summed.text("counts") if summed else NOTHING)

    async def _aggregate(self, day: date, now: datetime) -> int:
        """Write the day's rows of the workspaces whose sums have changed, and return the number of workspaces."""
        summed = await self._tables.get(TABLE, _AGGREGATION, _summed(day))
        counts = await self._folding.counts(day)  # read before the sums, which therefore include at least this much
        if summed is not None and summed.text("counts") == counts:
            return 0
        before = await self._rewrites(day)
        by_workspace: dict[str, dict[Group, Spend]] = {}
        for group, spend in (await self._figures.costs(day, new=False)).items():
            by_workspace.setdefault(group.workspace, {})[group] = spend
        written = await asyncio.gather(*(self._write(name, day, sums, now) for name, sums in by_workspace.items()))
        for workspace, ident in (await self._rewrites(day)).items():
            if before.get(workspace) != ident:
                await self._rewrite(workspace, day)
        await self._tables.commit(TABLE, [Upsert(Row(_AGGREGATION, _summed(day), {"counts": counts}))])
        return sum(written)

    async def _rewrites(self, day: date) -> Mapping[str, str]:
        prefix = _rewritten(day)
        rows = every(self._tables, TABLE, Span.prefix(_AGGREGATION, prefix))
        return {row.key.removeprefix(prefix): row.text("id") async for row in rows}

    async def _write(
        self, workspace: str, day: date, sums: Mapping[Group, Spend], now: datetime, *, force: bool = False
    ) -> bool:
        """Write the day's rows unless they were made from the same sums; return whether they were written."""
        ordered = sorted((group, asdict(spend)) for group, spend in sums.items())
        digest = hashlib.sha256(repr(ordered).encode()).hexdigest()
        stored = await self._tables.get(TABLE, workspace, _day_key(day))
        if stored is not None and stored.text("digest") == digest and not force:
            return False
        if stored is None:
            await self._tables.commit(TABLE, [Upsert(Row(_WORKSPACES, workspace, {}))])
        writes: list[Write] = [
            Upsert(Row(workspace, cost_key(day, group), facts.dump(CostSum(group, spend))))
            for group, spend in sums.items()
        ]
        for start in range(0, len(writes), MAX_WRITES):
            await self._tables.commit(TABLE, writes[start : start + MAX_WRITES])
        sheet = day_of(sums, MOST_NAMES, now)
        await self._tables.commit(
            TABLE, [Upsert(Row(workspace, f"sheet!{day.isoformat()}", {"sheet": _DAY.dump(sheet)}))]
        )
        # The total last: its digest shows that the rows above are complete.
        values = {"digest": digest, "day": day.isoformat(), "total": _SPEND.dump(sheet.total)}
        await self._tables.commit(TABLE, [Upsert(Row(workspace, _day_key(day), values))])
        return True


def cost_key(day: date, group: Group) -> str:
    """Return the row key of a group's sum of a day."""
    return f"cost!{day.isoformat()}!{group.digest}"


def _cost_of(row: Row) -> tuple[date, tuple[Group, Spend]]:
    return date.fromisoformat(row.key[5:15]), facts.cost_of(row)


def _sheet_of(row: Row) -> tuple[date, Day]:
    return date.fromisoformat(row.key.removeprefix("sheet!")), _DAY.load(row.text("sheet"))


def _total_of(row: Row) -> tuple[date, Spend]:
    return date.fromisoformat(row.text("day")), _SPEND.load(row.text("total"))


def _summed(day: date) -> str:
    return f"summed!{day.isoformat()}"


def _rewritten(day: date) -> str:
    return f"rewritten!{day.isoformat()}!"


def _day_key(day: date) -> str:
    return f"day!{99999999 - int(day.strftime('%Y%m%d')):08d}"
