"""Workers' memory and CPU use, how full pools are, and both by the hour.

Table `pools`, partition workspace, row `hour!{hour}`: maximum and mean of an hour's samples, kept for 30 days.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from kernel.clock import hour_bucket
from kernel.codec import Unreadable
from kernel.errors import Unavailable
from kernel.journal import Event
from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Row, RowChanged, Span, Upsert, every
from llmops.capacity.pool_usage import Level, PoolUsage, level, worst
from llmops.capacity.pools import Thresholds
from llmops.metrics.definitions import CPU, CPU_TIME, MEMORY, MEMORY_LIMIT

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.journal import Journal
    from kernel.tables import Tables
    from llmops.capacity.pool_store import PoolStore
    from llmops.capacity.pool_usage import PoolUsageReader
    from llmops.capacity.session_limit import SessionClaims
    from llmops.metrics.shared import SharedMetrics

log = logging.getLogger(__name__)

TABLE = "pools"
KEPT_FOR = timedelta(days=30)
BELIEVED_FOR = timedelta(minutes=5)
"""How long a worker's last sample counts as current. An idle worker stores none."""
MOST_HOURS = 720
_PREFIX = "hour!"


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """Resource use of this process.

    Attributes:
        memory_bytes: Memory it holds (resident set size).
        limit_bytes: Memory available to it: the container's limit, else the machine's memory.
        cpu_share: Share of all cores used since the last sample, 0-1.
        cpu_s: CPU time used since the process started, in seconds.
    """

    memory_bytes: int
    limit_bytes: int
    cpu_share: float
    cpu_s: float = 0.0


class RunTimes:
    """How long this process has carried out runs, by workspace and agent, since the last `take`."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._since: dict[str, tuple[str, str, float]] = {}
        self._took: dict[tuple[str, str], float] = {}

    def begin(self, run: str, workspace: str, agent: str) -> None:
        """Note that the run is carried out here; calling it again changes nothing."""
        self._since.setdefault(run, (workspace, agent, self._now()))

    def end(self, run: str) -> None:
        """Note that the run is no longer carried out here."""
        if (found := self._since.pop(run, None)) is not None:
            self._add(*found)

    def take(self) -> Mapping[tuple[str, str], float]:
        """Return the seconds by workspace and agent, including runs under way, and start again from 0."""
        for run, (workspace, agent, since) in self._since.items():
            self._add(workspace, agent, since)
            self._since[run] = (workspace, agent, self._now())
        took, self._took = self._took, {}
        return took

    def _add(self, workspace: str, agent: str, since: float) -> None:
        key = (workspace, agent)
        self._took[key] = self._took.get(key, 0.0) + max(0.0, self._now() - since)


class ProcessMeasure:
    """Stores this process's resource use with its metrics, in every workspace it works for.

    CPU time is divided among agents in proportion to the time their runs took: runs share a thread, so that their CPU
    use cannot be measured separately.
    """

    def __init__(self, metrics: SharedMetrics, sample: Callable[[], ProcessSample], times: RunTimes) -> None:
        self._metrics = metrics
        self._sample = sample
        self._times = times
        self._cpu_s: float | None = None

    def collect(self) -> None:
        """Measure; called before metrics are read or stored."""
        workspaces = self._metrics.workspaces
        if not workspaces:
            return
        found = self._sample()
        for workspace in workspaces:
            self._metrics.gauge(workspace, MEMORY, found.memory_bytes)
            self._metrics.gauge(workspace, MEMORY_LIMIT, found.limit_bytes)
            self._metrics.gauge(workspace, CPU, round(found.cpu_share, 4))
        used, self._cpu_s = found.cpu_s - (found.cpu_s if self._cpu_s is None else self._cpu_s), found.cpu_s
        took = self._times.take()
        total = sum(took.values())
        for (workspace, agent), seconds in took.items():
            if used > 0 and total:
                self._metrics.add(workspace, CPU_TIME, round(used * seconds / total, 6), agent)


@dataclass(frozen=True, slots=True)
class WorkerUse:
    """Resource use of a worker when it last stored its metrics: its random id, the time, and the sample."""

    worker: str
    at: datetime
    memory_bytes: int
    memory_share: float | None
    cpu_share: float
    thresholds: Thresholds = field(default_factory=Thresholds)

    @property
    def levels(self) -> Mapping[str, tuple[float, Level]]:
        """The used share of each resource, with its level."""
        memory, cpu, most = self.memory_share or 0.0, self.cpu_share, self.thresholds
        return {"memory": (memory, level(memory, most.memory)), "cpu": (cpu, level(cpu, most.cpu))}

    @property
    def level(self) -> Level:
        """The worse of both levels."""
        return worst(how for _, how in self.levels.values())


@dataclass(frozen=True, slots=True)
class Resources:
    """Current resource use by worker and by pool, and the worst level of all."""

    workers: Sequence[WorkerUse]
    pools: Sequence[PoolUsage]

    @property
    def level(self) -> Level:
        """The worst level of any worker or pool."""
        return worst(one.level for one in (*self.workers, *self.pools))


@dataclass(frozen=True, slots=True)
class Range:
    """Maximum and mean of some samples."""

    most: float = 0.0
    total: float = 0.0
    samples: int = 0

    def with_(self, value: float) -> Range:
        """Return the range with one more sample."""
        return Range(max(self.most, value), self.total + value, self.samples + 1)

    @property
    def mean(self) -> float:
        """The mean; 0 without samples."""
        return self.total / self.samples if self.samples else 0.0


@dataclass(frozen=True, slots=True)
class Hour:
    """Resource use of an hour: `workers`, `memory_share` and `cpu_share` of workers; of pools the shares by limit."""

    start: datetime
    workers: Mapping[str, Range] = field(default_factory=dict[str, Range])
    pools: Mapping[str, Mapping[str, Range]] = field(default_factory=dict[str, Mapping[str, Range]])

    def with_(self, now: Resources) -> Hour:
        """Return the hour with one more sample."""
        workers = dict(self.workers)
        values = {
            "workers": float(len(now.workers)),
            "memory_share": max((one.memory_share or 0.0 for one in now.workers), default=0.0),
            "cpu_share": max((one.cpu_share for one in now.workers), default=0.0),
        }
        for name, value in values.items():
            workers[name] = workers.get(name, Range()).with_(value)
        pools = {name: dict(limits) for name, limits in self.pools.items()}
        for pool in now.pools:
            limits = pools.setdefault(pool.pool.name, {})
            for one in pool.limits:
                limits[one.name] = limits.get(one.name, Range()).with_(round(one.share, 4))
        return Hour(self.start, workers, pools)


class ResourceReader:
    """Reads resource use."""

    def __init__(self, metrics: SharedMetrics, usage: PoolUsageReader, tables: Tables, clock: Clock) -> None:
        self._metrics = metrics
        self._usage = usage
        self._tables = tables
        self._clock = clock

    async def now(self, workspace: str) -> Resources:
        """Return the current use; of workers, only of those that measured lately."""
        since, workers = self._clock() - BELIEVED_FOR, list[WorkerUse]()
        pools = await self._usage.all(workspace)
        # Workers serve all pools: the strictest threshold applies.
        of_pools = [usage.pool.thresholds for usage in pools]
        most = Thresholds(
            memory=min((one.memory for one in of_pools), default=Thresholds().memory),
            cpu=min((one.cpu for one in of_pools), default=Thresholds().cpu),
        )
        for worker, at, series in await self._metrics.by_worker(workspace):
            found = {key[0]: numbers[0] for key, numbers in series.items() if len(key) == 1}
            if MEMORY.name in found and at >= since:
                limit, memory = found.get(MEMORY_LIMIT.name, 0), int(found[MEMORY.name])
                share = memory / limit if limit else None
                workers.append(WorkerUse(worker, at, memory, share, found.get(CPU.name, 0.0), most))
        return Resources(workers, pools)

    async def history(self, workspace: str, hours: int) -> Sequence[Hour]:
        """Return the hours that have samples, going back `hours` hours."""
        start = hour_bucket(self._clock() - timedelta(hours=hours - 1))
        span = Span(workspace, key_from=f"{_PREFIX}{start}", key_before=f"{_PREFIX}~")
        return [_hour(row) async for row in every(self._tables, TABLE, span)]


class ResourceSampler:
    """The resource timer: store a sample, publish what crosses a threshold, and delete old samples."""

    def __init__(
        self, reader: ResourceReader, store: PoolStore, sessions: SessionClaims, tables: Tables, journal: Journal
    ) -> None:
        self._reader = reader
        self._store = store
        self._sessions = sessions
        self._tables = tables
        self._journal = journal

    async def run(self, now: datetime) -> int:
        """Store a sample for each workspace with pools, and return the number of pools; failures stop no others."""
        count = 0
        async for workspace in self._store.workspaces():
            try:
                pools = await self._store.of(workspace)
                if pools:
                    await self._sample(workspace, now)
                    count += len(pools)
                if now.minute == 0:
                    await self._forget(workspace, now)
            except (Unavailable, Unreadable) as error:
                text = "resources of %s not sampled: %s"
                log.warning(text, workspace, error.code, extra={"event": "capacity.unsampled"})
        return count

    async def _sample(self, workspace: str, now: datetime) -> None:
        for pool in await self._store.of(workspace):
            if pool.limits.open_sessions is not None:
                await self._sessions.sweep(workspace, pool.name)
        found = await self._reader.now(workspace)
        key = f"{_PREFIX}{hour_bucket(now)}"
        row = await self._tables.get(TABLE, workspace, key)
        hour = _hour(row) if row else Hour(now.replace(minute=0, second=0, microsecond=0))
        # Only one timer takes samples, so nobody else writes the row.
        await self._tables.commit(TABLE, [Upsert(Row(workspace, key, {"hour": _dumped(hour.with_(found))}))])
        for data in _much(found):
            ident = f"resource.{data['level']}/{data['what']}/{data['limit']}/{hour_bucket(now)}"
            critical = data["level"] == "critical"
            event = Event("resource.critical", data, now) if critical else Event("resource.warning", data, now)
            await self._journal.record(workspace, ident, event)

    async def _forget(self, workspace: str, now: datetime) -> None:
        before = hour_bucket(now - KEPT_FOR)
        async for row in every(self._tables, TABLE, Span(workspace, key_from=_PREFIX, key_before=f"{_PREFIX}{before}")):
            try:
                await self._tables.commit(TABLE, [Delete(workspace, row.key)])
            except RowChanged:
                continue  # another process deleted it


def _much(now: Resources) -> Sequence[dict[str, Any]]:
    """Return the event data of each limit in a warning or critical state."""
    found: list[tuple[str, str, float, Level]] = []
    for worker in now.workers:
        for name, (share, how) in worker.levels.items():
            found.append((f"worker:{worker.worker}", name, share, how))
    for pool in now.pools:
        found.extend((f"pool:{pool.pool.name}", one.name, one.share, one.level) for one in pool.limits)
    return [
        {"what": what, "limit": limit, "used_share": round(share, 4), "level": how}
        for what, limit, share, how in found
        if how != "ok"
    ]


def _dumped(hour: Hour) -> str:
    def ranges(values: Mapping[str, Range]) -> dict[str, list[float]]:
        return {name: [one.most, one.total, one.samples] for name, one in values.items()}

    pools = {name: ranges(limits) for name, limits in hour.pools.items()}
    return json.dumps({"workers": ranges(hour.workers), "pools": pools}, separators=(",", ":"))


def _hour(row: Row) -> Hour:
    def ranges(values: Mapping[str, Sequence[float]]) -> dict[str, Range]:
        return {name: Range(most, total, int(samples)) for name, (most, total, samples) in values.items()}

    value = json.loads(row.text("hour"))
    start = datetime.strptime(row.key.removeprefix(_PREFIX), "%Y-%m-%dT%H").replace(tzinfo=UTC)
    return Hour(start, ranges(value["workers"]), {name: ranges(limits) for name, limits in value["pools"].items()})
