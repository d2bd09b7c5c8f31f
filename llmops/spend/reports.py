"""Daily cost reports: what every workspace spent, by agent, model and user.

Table `reports`, partition = workspace. Rows: `day!{newest first}` the report of a day; `cost!{day}!{digest}` its sums.
Partition `_aggregation` row `closed` holds the last day that is aggregated for good.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta

from kernel.codec import JsonCodec
from kernel.tables import MAX_WRITES, Row, Span, Tables, Upsert, every, first_rows
from llmops.spend.ledger import TABLE as LEDGER
from llmops.spend.ledger import days
from llmops.spend.rollup import Group, Rollup, add_up, from_sum, to_row
from llmops.spend.usage import Spend

TABLE = "reports"
OPEN_DAYS = 3
"""A day is aggregated again and again until this many days have begun since, so that late lines are picked up."""

_PROGRESS = ("_aggregation", "closed")


@dataclass(frozen=True, slots=True)
class Report:
    """What a workspace spent on a UTC day: in all, by agent and by model, and when that last changed."""

    workspace: str
    day: date
    total: Spend
    by_agent: Mapping[str, Spend]
    by_model: Mapping[str, Spend]
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Aggregated:
    """What one aggregation did: the days it looked at, new lines added, and reports that changed."""

    days: Sequence[date]
    lines: int
    reports: int


def report_of(workspace: str, day: date, sums: Mapping[Group, Spend], now: datetime) -> Report:
    """Return the report of a workspace's sums of a day."""
    return Report(
        workspace,
        day,
        sum(sums.values(), Spend()),
        add_up((group.agent, spend) for group, spend in sums.items()),
        add_up((group.model, spend) for group, spend in sums.items()),
        now,
    )


_REPORT = JsonCodec(Report)


class Reports:
    """Aggregates the ledger into reports, and reads them."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._rollup = Rollup(tables)

    async def aggregate(self, now: datetime) -> Aggregated:
        """Add what is new in the ledger to the reports. Running it again, or after a crash, changes nothing more."""
        today = now.date()
        first = await self.first_open_day(today)
        open_days = list(days(first, today))
        lines = reports = 0
        for day in open_days:
            lines += await self._rollup.fold(day)
            reports += await self._write_reports(day, now)
        closed = today - timedelta(days=OPEN_DAYS)
        if closed >= first:
            await self._tables.commit(TABLE, [Upsert(Row(*_PROGRESS, {"day": closed.isoformat()}))])
        return Aggregated(open_days, lines, reports)

    async def first_open_day(self, today: date) -> date:
        """Return the first day whose sums may still change."""
        progress = await self._tables.get(TABLE, *_PROGRESS)
        if progress is not None:
            return date.fromisoformat(progress.text("day")) + timedelta(days=1)
        oldest = await first_rows(self._tables, LEDGER, Span("0", partition_before=":"), 1)
        return date.fromisoformat(oldest[0].partition[:10]) if oldest else today

    async def get(self, workspace: str, day: date) -> Report | None:
        """Return the report of a day, or None when nothing was spent or it is not aggregated yet."""
        row = await self._tables.get(TABLE, workspace, _report_key(day))
        return _REPORT.load(row.text("report")) if row else None

    async def list(
        self, workspace: str, limit: int, before: date | None = None
    ) -> tuple[Sequence[Report], date | None]:
        """Return up to `limit` reports, newest first, and the day to continue before; None at the end."""
        span = Span.prefix(workspace, "day!", after=_report_key(before) if before else None)
        found: list[Report] = []
        async for row in every(self._tables, TABLE, span, page=limit + 1):
            if len(found) == limit:
                return found, found[-1].day
            found.append(_REPORT.load(row.text("report")))
        return found, None

    async def sums(self, workspace: str, first: date, last: date, today: date) -> dict[date, dict[Group, Spend]]:
        """Return a workspace's sums by day: of closed days from the reports, of open ones from the ledger as it is now.

        A line that is being folded at this moment may be missing from an open day; none is ever counted twice.
        """
        first_open = await self.first_open_day(today)
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

    async def _write_reports(self, day: date, now: datetime) -> int:
        by_workspace: dict[str, dict[Group, Spend]] = {}
        for group, spend in (await self._rollup.sums(day)).items():
            by_workspace.setdefault(group.workspace, {})[group] = spend
        written = await asyncio.gather(*(self._write(ws, day, sums, now) for ws, sums in by_workspace.items()))
        return sum(written)

    async def _write(self, workspace: str, day: date, sums: Mapping[Group, Spend], now: datetime) -> bool:
        digest = hashlib.sha256(repr(sorted((group, asdict(spend)) for group, spend in sums.items())).encode())
        stored = await self._tables.get(TABLE, workspace, _report_key(day))
        if stored is not None and stored.text("digest") == digest.hexdigest():
            return False
        rows = [to_row(workspace, cost_key(day, group), group, spend) for group, spend in sums.items()]
        for start in range(0, len(rows), MAX_WRITES):
            await self._tables.commit(TABLE, [Upsert(row) for row in rows[start : start + MAX_WRITES]])
        # The report itself last: its digest says that the rows above are complete.
        report = report_of(workspace, day, sums, now)
        values = {"digest": digest.hexdigest(), "report": _REPORT.dump(report)}
        await self._tables.commit(TABLE, [Upsert(Row(workspace, _report_key(day), values))])
        return True


def cost_key(day: date, group: Group) -> str:
    """Return the row key of a group's sum of a day."""
    return f"cost!{day.isoformat()}!{group.key.rsplit('!', 1)[1]}"


def _report_key(day: date) -> str:
    return f"day!{99999999 - int(day.strftime('%Y%m%d')):08d}"
