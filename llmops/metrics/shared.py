"""Metrics shared between workers: each counts in memory and stores its totals from time to time.

Table `metrics`, partition = workspace. Row `worker!{id}`: the totals of one worker, written only by it, so that writing
them twice counts nothing twice. Row `past`: the sum of workers that no longer run. A worker that dies loses what it has
counted since it last stored. No request of a run waits for any of this.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.errors import Unavailable
from kernel.ids import new_id
from kernel.tables import Delete, Row, RowChanged, RowExists, RowTooLarge, Span, Tables, every, put
from llmops.metrics.definitions import Metric
from llmops.metrics.series import Key, Numbers, Series, added, dump, gathered, lasting, limited, load, observed, without

if TYPE_CHECKING:
    from kernel.clock import Clock

log = logging.getLogger(__name__)

TABLE = "metrics"
SILENT_AFTER = timedelta(hours=1)
"""A worker that has stored nothing for this long is taken to be gone; if it is not, it starts a new row."""

_WORKER = "worker!"
_PAST = "past"
_TIDIED = 20

Push = Callable[[Metric, float, tuple[str, ...]], None]
"""Passes a value on: the metric, the value, the values of its labels."""


@dataclass(slots=True)
class _WorkerSeries:
    """What this worker has counted in a workspace, what of it is stored, and in which row."""

    counted: dict[Key, Numbers] = field(default_factory=dict[Key, Numbers])
    base: Series = field(
        default_factory=dict[Key, Numbers]
    )  # counted before this row was started, and part of `past` by now
    stored: Series = field(default_factory=dict[Key, Numbers])
    row: str = ""
    etag: str = ""


class SharedMetrics:
    """Counts, and reads the totals of all workers. Bound to one event loop."""

    def __init__(
        self,
        tables: Tables,
        clock: Clock,
        interval: timedelta,
        push: Push,
        *,
        gauges_last: timedelta = SILENT_AFTER,
    ) -> None:
        """Set the dependencies.

        Args:
            tables: The tables.
            clock: Returns the current time.
            interval: Shortest time between two writes.
            push: Further receivers of counted values.
            gauges_last: How long a worker's gauges are valid after it last stored them.
        """
        self._tables = tables
        self._clock = clock
        self._interval = interval
        self._push = push
        self._gauges_last = gauges_last
        self._mine: dict[str, _WorkerSeries] = {}
        self._sources: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._storing: asyncio.Task[None] | None = None

    def count(self, workspace: str, metric: Metric, value: float, *labels: str) -> None:
        """Count a value; it is stored within `interval`."""
        self.add(workspace, metric, value, *labels)
        self.soon()

    def add(self, workspace: str, metric: Metric, value: float, *labels: str) -> None:
        """Count a value that does not cause a write: it is stored together with other values."""
        self._push(metric, value, labels)
        counted = self._mine.setdefault(workspace, _WorkerSeries()).counted
        key = limited(counted, (metric.name, *labels))
        counted.update(added({key: counted[key]} if key in counted else {}, {key: observed(metric, value)}))

    @property
    def workspaces(self) -> Sequence[str]:
        """The workspaces that this worker has counted anything for."""
        return list(self._mine)

    def gauge(self, workspace: str, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge of this worker; it does not cause a write."""
        counted, key = self._mine.setdefault(workspace, _WorkerSeries()).counted, (metric.name, *labels)
        (before,) = counted.get(key, (0.0,))
        self._push(metric, value - before, labels)
        counted[key] = (value,)

    def add_source(self, source: Callable[[], None]) -> None:
        """Register a function that is called before values are read or stored, so that it can `count` its own."""
        self._sources.append(source)

    def soon(self) -> None:
        """Schedule a write."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._interval.total_seconds(), self._store_soon)

    async def by_worker(self, workspace: str) -> Sequence[tuple[str, datetime, Series]]:
        """Return what each worker has counted lately, with its random id and when it last stored."""
        await self.store()
        rows = [row async for row in every(self._tables, TABLE, Span.prefix(workspace, _WORKER))]
        return [(row.key.removeprefix(_WORKER), _at(row), load(row.text("series"))) for row in rows]

    async def read(self, workspace: str) -> dict[Key, Numbers]:
        """Return the totals of all workers in the workspace, including this one's values not stored yet."""
        self._collect()
        mine = self._mine.get(workspace, _WorkerSeries())
        rows = {row.key: row async for row in every(self._tables, TABLE, Span(workspace))}
        is_past = bool(mine.etag) and mine.row not in rows
        total = without(mine.counted, lasting(mine.stored) if is_past else mine.base)
        believed = self._clock() - self._gauges_last
        for key, row in rows.items():
            if key != mine.row:
                series = load(row.text("series"))
                total = added(total, lasting(series) if key == _PAST or _at(row) < believed else series)
        return total

    async def store(self) -> None:
        """Store what was counted since the last time."""
        self._collect()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for workspace, mine in list(self._mine.items()):
            if mine.counted == mine.stored:
                continue
            try:
                await self._store(workspace, mine)
            except (Unavailable, RowTooLarge) as error:
                # Nothing is lost while this process lives: the next write stores everything.
                log.warning("metrics not stored: %s", type(error).__name__, extra={"event": "metrics.not_stored"})

    async def aclose(self) -> None:
        """Store what is not stored yet."""
        self._collect()
        if self._timer is not None:
            self._timer.cancel()
        if self._storing is not None:
            await self._storing
        await self.store()

    def _collect(self) -> None:
        for source in self._sources:
            source()

    def _store_soon(self) -> None:
        self._storing = asyncio.get_running_loop().create_task(self.store())

    async def _store(self, workspace: str, mine: _WorkerSeries) -> None:
        if not mine.row:
            mine.row = f"{_WORKER}{new_id()}"  # before anything is waited for: two callers must not make two rows
            await self._tidy(workspace)
        counted = dict(mine.counted)
        values = {"at": self._clock(), "series": dump(without(counted, mine.base))}
        row = Row(workspace, mine.row, values, mine.etag)
        try:
            (mine.etag,) = await self._tables.commit(TABLE, [put(row)])
        except (RowChanged, RowExists):
            there = await self._tables.get(TABLE, workspace, mine.row)
            if there is not None:  # our earlier write took effect, and its response was lost
                mine.etag = there.etag
            else:  # this worker was silent for so long that its row was added to `past`
                mine.base, mine.row, mine.etag = lasting(mine.stored), "", ""
            return await self._store(workspace, mine)
        mine.stored = counted
        return None

    async def _tidy(self, workspace: str) -> None:
        """Add the rows of workers that are gone to `past`. Every worker does this once, so it is never much."""
        before = self._clock() - SILENT_AFTER
        past = await self._tables.get(TABLE, workspace, _PAST)
        total: Series = load(past.text("series")) if past else {}
        gone = [row async for row in every(self._tables, TABLE, Span.prefix(workspace, _WORKER)) if _at(row) < before]
        gone = gone[:_TIDIED]
        if not gone:
            return
        for row in gone:
            total = gathered(total, lasting(load(row.text("series"))))
        row = Row(workspace, _PAST, {"series": dump(total)}, past.etag if past else "")
        deletions = [Delete(workspace, each.key, each.etag) for each in gone]
        try:
            await self._tables.commit(TABLE, [put(row), *deletions])
        except (RowChanged, RowExists):
            return  # another worker does the same, or one of these is not gone after all


def _at(row: Row) -> datetime:
    moment = row.moment("at")
    if moment is None:
        msg = f"row {row.key} has no time"
        raise ValueError(msg)
    return moment
