"""The hit rate of a workspace's look-ups over a window, for alert rules: from the counts, as they were now and then.

Table `loader`, partition `hits!{workspace}`, row by time: hits and misses of all workers until then. A timer writes
them; the counts themselves say nothing of when.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from kernel.clock import Clock, rfc3339
from kernel.tables import Delete, Row, RowChanged, Span, Tables, Upsert, every, first_rows
from lifecycle.loader.ranking import TABLE
from llmops.metrics.definitions import LOOKUPS
from llmops.metrics.shared import SharedMetrics

KEPT_FOR = timedelta(days=2)


class HitRates:
    """Notes and reads the counts of look-ups."""

    def __init__(self, tables: Tables, metrics: SharedMetrics, clock: Clock) -> None:
        self._tables = tables
        self._metrics = metrics
        self._clock = clock

    async def note(self, workspaces: Iterable[str]) -> None:
        """Write down what the counts have come to by now, and forget what is two days old."""
        now = self._clock()
        for workspace in workspaces:
            hits, misses = await self._counts(workspace)
            home = f"hits!{workspace}"
            row = Row(home, rfc3339(now), {"hits": hits, "misses": misses})
            await self._tables.commit(TABLE, [Upsert(row)])
            old = await first_rows(self._tables, TABLE, Span(home, key_before=rfc3339(now - KEPT_FOR)), 50)
            if old:
                try:
                    await self._tables.commit(TABLE, [Delete(home, row.key) for row in old])
                except RowChanged:
                    continue  # another timer forgets the same

    async def read(self, workspace: str, since: datetime) -> float | None:
        """Return the share of the look-ups since then that took no I/O, 0-1; None where there were none.

        The window begins with the latest note before `since`, or, where there is none, with the first one.
        """
        home = f"hits!{workspace}"
        notes = [row async for row in every(self._tables, TABLE, Span(home))]
        before = [row for row in notes if row.key <= rfc3339(since)]
        start = before[-1] if before else (notes[0] if notes else None)
        hits, misses = await self._counts(workspace)
        if start is not None:
            hits, misses = hits - start.integer("hits"), misses - start.integer("misses")
        asked = hits + misses
        return hits / asked if asked > 0 and hits >= 0 else None

    async def _counts(self, workspace: str) -> tuple[int, int]:
        series = await self._metrics.read(workspace)
        hits, misses = (series.get((LOOKUPS.name, result), (0.0,))[0] for result in ("hit", "miss"))
        return round(hits), round(misses)
