"""What every workspace spent each day, kept as the ledger grows.

Table `reports`, partition = workspace. Rows:
`cost!{day}!{digest}`    what the calls of one group came to;
`sheet!{day}`            the day by agent, model and user;
`day!{newest first}`     the day in all, and the digest of what it was made from.
Partition `_aggregation`: `closed` holds the last day that is looked at no more; `summed!{day}` says that the rows of a
day hold all that was folded; `rewritten!{day}!{workspace}` that a workspace's rows of the day were made anew. Partition
`_workspaces` names every workspace that ever spent anything.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta

from kernel.codec import JsonCodec
from kernel.folding import NEW
from kernel.ids import new_id
from kernel.tables import MAX_WRITES, Delete, Row, RowChanged, Span, Tables, Upsert, Write, every, first_rows
from llmops.reports.report import Day, day_of
from llmops.spend.ledger import SHARDS, days, partition
from llmops.spend.ledger import TABLE as LEDGER
from llmops.spend.rollup import Group, Rollup, add_up, from_sum, to_row
from llmops.spend.usage import Spend

TABLE = "reports"
OPEN_DAYS = 3
"""A day is aggregated again and again until this many days have begun since, so that late lines are picked up."""
LATE_DAYS = 35
"""For so many days lines that come later still are looked for, once a day."""
MOST_NAMES = 1000
"""Names a day's sheet lists in each breakdown."""

_AGGREGATION = "_aggregation"
_WORKSPACES = "_workspaces"
_DAY = JsonCodec(Day)
_SPEND = JsonCodec(Spend)


@dataclass(frozen=True, slots=True)
class Aggregated:
    """What one aggregation did: the days it looked at, new lines added, and workspaces' days that changed."""

    days: Sequence[date]
    lines: int
    changed: int


class DailyCosts:
    """Aggregates the ledger by day, and reads what it comes to."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._rollup = Rollup(tables)

    async def aggregate(self, now: datetime) -> Aggregated:
        """Add what is new in the ledger. Running it again, or after a crash, changes nothing more."""
        today = now.date()
        first = await self._first_open_day(today)
        looked_at = list(days(first, today))
        closed = today - timedelta(days=OPEN_DAYS)
        closing = closed >= first
        if closing:
            looked_at = [*await self._late_days(first, closed), *looked_at]
        lines = changed = 0
        for day in looked_at:
            folded, rewritten = await self._aggregate(day, now)
            lines, changed = lines + folded, changed + rewritten
        if closing:
            await self._tables.commit(TABLE, [Upsert(Row(_AGGREGATION, "closed", {"day": closed.isoformat()}))])
        return Aggregated(looked_at, lines, changed)

    async def rewrite(self, workspace: str, day: date) -> None:
        """Write the workspace's rows of the day anew, from the sums as they are; rows of no sum are deleted."""
        # Noted first: an aggregation that read the sums before they were changed does the same once it has written.
        note = Row(_AGGREGATION, f"{_rewritten(day)}{workspace}", {"id": new_id()})
        await self._tables.commit(TABLE, [Upsert(note)])
        await self._rewrite(workspace, day)

    async def _rewrite(self, workspace: str, day: date) -> None:
        sums = await self._rollup.sums(day, workspace)
        keys = {cost_key(day, group) for group in sums}
        span = Span.prefix(workspace, f"cost!{day.isoformat()}!")
        for key in [row.key async for row in every(self._tables, TABLE, span) if row.key not in keys]:
            try:
                await self._tables.commit(TABLE, [Delete(workspace, key)])
            except RowChanged:
                continue  # somebody else deleted it
        stored = (await self.sheets(workspace, day, day)).get(day)
        if stored is not None:
            await self._write(workspace, day, sums, stored.updated_at, anew=True)

    async def sums(self, workspace: str, first: date, last: date, today: date) -> dict[date, dict[Group, Spend]]:
        """Return a workspace's sums by day: of closed days as kept, of open ones from the ledger as it is now.

        A line that is being folded at this moment may be missing from an open day; none is ever counted twice.
        """
        first_open = await self._first_open_day(today)
        found: dict[date, dict[Group, Spend]] = {}
        if first < first_open:
            end = min(last, first_open - timedelta(days=1)) + timedelta(days=1)
            span = Span(workspace, key_from=f"cost!{first.isoformat()}", key_before=f"cost!{end.isoformat()}")
            async for row in every(self._tables, TABLE, span):
                group, spend = from_sum(row)
                found.setdefault(date.fromisoformat(row.key[5:15]), {})[group] = spend
        for day in days(max(first, first_open), min(last, today)):
            # Sums first: a line folded in between is missed for a moment rather than counted twice.
            folded = await self._rollup.sums(day, workspace)
            new = await self._rollup.unfolded(day, workspace)
            found[day] = add_up([*folded.items(), *new.items()])
        return found

    async def sheets(self, workspace: str, first: date, last: date) -> dict[date, Day]:
        """Return the sheets of the days, both included, on which anything was spent."""
        end = last + timedelta(days=1)
        span = Span(workspace, key_from=f"sheet!{first.isoformat()}", key_before=f"sheet!{end.isoformat()}")
        rows = [row async for row in every(self._tables, TABLE, span)]
        return {date.fromisoformat(row.key.removeprefix("sheet!")): _DAY.load(row.text("sheet")) for row in rows}

    async def totals(self, workspace: str, before: date | None = None) -> AsyncIterator[tuple[date, Spend]]:
        """Yield the days on which anything was spent and what, newest first, from just before a day on."""
        after = _day_key(before) if before else None
        async for row in every(self._tables, TABLE, Span.prefix(workspace, "day!", after=after), page=100):
            yield date.fromisoformat(row.text("day")), _SPEND.load(row.text("total"))

    async def workspaces(self) -> AsyncIterator[str]:
        """Yield every workspace that ever spent anything."""
        async for row in every(self._tables, TABLE, Span(_WORKSPACES)):
            yield row.key

    async def _first_open_day(self, today: date) -> date:
        progress = await self._tables.get(TABLE, _AGGREGATION, "closed")
        if progress is not None:
            return date.fromisoformat(progress.text("day")) + timedelta(days=1)
        oldest = await first_rows(self._tables, LEDGER, Span("0", partition_before=":"), 1)
        return date.fromisoformat(oldest[0].partition[:10]) if oldest else today

    async def _late_days(self, first_open: date, closed: date) -> Sequence[date]:
        """Return the closed days to which lines came after all."""
        looked_for = list(days(closed - timedelta(days=LATE_DAYS), first_open - timedelta(days=1)))
        news = await asyncio.gather(*map(self._has_news, looked_for))
        return [day for day, new in zip(looked_for, news, strict=True) if new]

    async def _has_news(self, day: date) -> bool:
        spans = [Span.prefix(partition(day, number), NEW) for number in range(SHARDS)]
        return any(await asyncio.gather(*(first_rows(self._tables, LEDGER, span, 1) for span in spans)))

    async def _aggregate(self, day: date, now: datetime) -> tuple[int, int]:
        """Fold a day's new lines and rewrite what changed; return how many lines and workspaces that were."""
        summed = await self._tables.get(TABLE, _AGGREGATION, f"summed!{day.isoformat()}")
        if not await self._has_news(day):
            if summed is not None:
                return 0, 0
        elif summed is not None:
            # Before the first line is folded: a crash after it must not leave rows that pass for complete.
            await self._drop(summed)
        lines = await self._rollup.fold(day)
        before = await self._rewrites(day)
        by_workspace: dict[str, dict[Group, Spend]] = {}
        for group, spend in (await self._rollup.sums(day)).items():
            by_workspace.setdefault(group.workspace, {})[group] = spend
        written = await asyncio.gather(*(self._write(name, day, sums, now) for name, sums in by_workspace.items()))
        for workspace, ident in (await self._rewrites(day)).items():
            if before.get(workspace) != ident:
                await self._rewrite(workspace, day)
        mark = Row(_AGGREGATION, f"summed!{day.isoformat()}", {"at": now})
        await self._tables.commit(TABLE, [Upsert(mark)])
        return lines, sum(written)

    async def _rewrites(self, day: date) -> Mapping[str, str]:
        prefix = _rewritten(day)
        rows = every(self._tables, TABLE, Span.prefix(_AGGREGATION, prefix))
        return {row.key.removeprefix(prefix): row.text("id") async for row in rows}

    async def _drop(self, row: Row) -> None:
        try:
            await self._tables.commit(TABLE, [Delete(row.partition, row.key, row.etag)])
        except RowChanged:
            return  # somebody else is at it, too

    async def _write(
        self, workspace: str, day: date, sums: Mapping[Group, Spend], now: datetime, *, anew: bool = False
    ) -> bool:
        """Write the day's rows, unless they are made from these very sums; return whether that was needed."""
        ordered = sorted((group, asdict(spend)) for group, spend in sums.items())
        digest = hashlib.sha256(repr(ordered).encode()).hexdigest()
        stored = await self._tables.get(TABLE, workspace, _day_key(day))
        if stored is not None and stored.text("digest") == digest and not anew:
            return False
        if stored is None:
            await self._tables.commit(TABLE, [Upsert(Row(_WORKSPACES, workspace, {}))])
        writes: list[Write] = [
            Upsert(to_row(workspace, cost_key(day, group), group, spend)) for group, spend in sums.items()
        ]
        for start in range(0, len(writes), MAX_WRITES):
            await self._tables.commit(TABLE, writes[start : start + MAX_WRITES])
        sheet = day_of(sums, MOST_NAMES, now)
        await self._tables.commit(
            TABLE, [Upsert(Row(workspace, f"sheet!{day.isoformat()}", {"sheet": _DAY.dump(sheet)}))]
        )
        # The day itself last: its digest says that the rows above are complete.
        values = {"digest": digest, "day": day.isoformat(), "total": _SPEND.dump(sheet.total)}
        await self._tables.commit(TABLE, [Upsert(Row(workspace, _day_key(day), values))])
        return True


def cost_key(day: date, group: Group) -> str:
    """Return the row key of a group's sum of a day."""
    return f"cost!{day.isoformat()}!{group.key.rsplit('!', 1)[1]}"


def _rewritten(day: date) -> str:
    return f"rewritten!{day.isoformat()}!"


def _day_key(day: date) -> str:
    return f"day!{99999999 - int(day.strftime('%Y%m%d')):08d}"
