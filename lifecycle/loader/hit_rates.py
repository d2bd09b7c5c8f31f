"""Cache hit rate of a workspace's look-ups in a time window, for alert rules; from stored snapshots of the counters.

Table `loader`, partition `hits!{workspace}`, row by time: hits and misses of all workers until then. A timer writes the
snapshots, as the counters themselves have no times.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.clock import Clock, rfc3339
from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Row, RowChanged, Span, Tables, Upsert, every, first_rows
from lifecycle.loader.agent_ranking import TABLE
from llmops.metrics.definitions import LOOKUPS, STRATEGY_LOOKUPS

if TYPE_CHECKING:
    from llmops.metrics.shared import SharedMetrics

KEPT_FOR = timedelta(days=2)
MIN_LOOKUPS = 100
"""Fewest look-ups in each window for comparing hit rates."""
_BEFORE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Lookups:
    """Counts of look-ups of agents.

    Attributes:
        hits: Look-ups answered without I/O.
        misses: Look-ups that needed I/O.
        strategies: Hits and misses by strategy, where strategies are being compared.
    """

    hits: int = 0
    misses: int = 0
    strategies: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])

    def since(self, earlier: Lookups) -> Lookups:
        """Return the difference to an earlier count."""
        before = earlier.strategies
        by_strategy = {
            name: (hits - before.get(name, (0, 0))[0], misses - before.get(name, (0, 0))[1])
            for name, (hits, misses) in self.strategies.items()
        }
        return Lookups(self.hits - earlier.hits, self.misses - earlier.misses, by_strategy)

    @property
    def hit_rate(self) -> float | None:
        """Hits over look-ups, 0-1; None without look-ups, or where counts were lost."""
        asked = self.hits + self.misses
        return self.hits / asked if asked > 0 and self.hits >= 0 and self.misses >= 0 else None


@dataclass(frozen=True, slots=True)
class HitRateWindow:
    """Look-ups in a window, and in the day before it."""

    during: Lookups
    before: Lookups

    @property
    def fall(self) -> float | None:
        """Return how far the window's hit rate is below that of the day before, -1 to 1; None with too few look-ups."""
        now, then = self.during.hit_rate, self.before.hit_rate
        if now is None or then is None:
            return None
        enough = all(one.hits + one.misses >= MIN_LOOKUPS for one in (self.during, self.before))
        return then - now if enough else None


class HitRates:
    """Stores and reads snapshots of look-up counts."""

    def __init__(self, tables: Tables, metrics: SharedMetrics, clock: Clock) -> None:
        self._tables = tables
        self._metrics = metrics
        self._clock = clock

    async def note(self, workspaces: Iterable[str]) -> None:
        """Store a snapshot for each workspace, and delete those older than two days."""
        now = self._clock()
        for workspace in workspaces:
            counted = await self._counts(workspace)
            home = f"hits!{workspace}"
            values = {
                "hits": counted.hits,
                "misses": counted.misses,
                "strategies": json.dumps(counted.strategies) if counted.strategies else None,
            }
            await self._tables.commit(TABLE, [Upsert(Row(home, rfc3339(now), values))])
            old = await first_rows(self._tables, TABLE, Span(home, key_before=rfc3339(now - KEPT_FOR)), 50)
            if old:
                try:
                    await self._tables.commit(TABLE, [Delete(home, row.key) for row in old])
                except RowChanged:
                    continue  # another timer deletes the same

    async def read(self, workspace: str, since: datetime) -> HitRateWindow:
        """Return the look-ups since then, and those of the day before.

        A window begins with the latest snapshot before its start; if there is none, with the first snapshot.
        """
        home = f"hits!{workspace}"
        notes = [row async for row in every(self._tables, TABLE, Span(home))]
        counted = await self._counts(workspace)
        begin = _noted(notes, since) if notes else Lookups()
        day_before = _noted(notes, since - _BEFORE) if notes else Lookups()
        return HitRateWindow(counted.since(begin), begin.since(day_before))

    async def _counts(self, workspace: str) -> Lookups:
        series = await self._metrics.read(workspace)
        hits, misses = (round(series.get((LOOKUPS.name, result), (0.0,))[0]) for result in ("hit", "miss"))
        strategies: dict[str, tuple[int, int]] = {}
        for key, (count, *_) in series.items():
            if key[0] == STRATEGY_LOOKUPS.name:
                _, name, result = key
                good, bad = strategies.get(name, (0, 0))
                strategies[name] = (good + round(count), bad) if result == "hit" else (good, bad + round(count))
        return Lookups(hits, misses, strategies)


def _noted(notes: Sequence[Row], moment: datetime) -> Lookups:
    """Return the counts at a moment: of the latest snapshot before it, else of the first one."""
    before = [row for row in notes if row.key <= rfc3339(moment)]
    row = before[-1] if before else notes[0]
    strategies = json.loads(row.text("strategies") or "{}")
    return Lookups(
        row.integer("hits"), row.integer("misses"), {name: (one[0], one[1]) for name, one in strategies.items()}
    )
