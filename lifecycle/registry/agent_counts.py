"""Counts of agents by state, and of their audit entries, kept beside the records.

Each change of a declaration, of a record's state or of an audit trail adds a row of its own in the same transaction, so
each is counted exactly once, also after crashes and repetitions. A little later these rows are added to sums. Reading
uses the sums and the rows not added yet, so its cost does not depend on the number of agents.

Rows in the workspace's partition of table `agents`: `!new!{id}` a change · `!sum!all` the sums · `!sum!{hour}` the sums
by hour, with the number of versions made by agent.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from kernel.aggregation import Sums, aggregate
from kernel.clock import hour_bucket
from kernel.errors import Unavailable
from kernel.ids import new_id
from kernel.lazy_dataclass import dataclass
from kernel.tables import Row, Span, Tables, every
from lifecycle.registry.audit import AuditStep
from lifecycle.registry.record import AgentRecord, AgentState

log = logging.getLogger(__name__)

TABLE = "agents"
Counts = Mapping[str, int]
"""Counts by key: `state.…`, `step.…`, in hourly sums also `made.{agent}`, and the sums below."""
DECLARED = "declared"
"""Key of the number of agents declared and not deleted, with or without a record."""
VERSIONS = "versions"
"""Key of the number of versions at providers in records."""
ACTIVE_SINCE = "active_since"
"""Key of the sum of the times (Unix seconds) at which agents became active."""
PROVISIONED = "provisioned"
PROVISIONING_MS = "provisioning_ms"

_NEW = "!new!"
_SUM = "!sum!"
_ALL = f"{_SUM}all"
_MAX_AGENTS = 100
_OTHERS = "made._other"
_FOLD_AFTER_S = 10.0
_MANY = 100
"""Number of changes from which on a reader adds them to the sums: declarations are added by no one else."""


@dataclass(frozen=True, slots=True)
class LifecycleTotals:
    """Counts of a workspace's agents.

    Attributes:
        states: Agents by the state of their record; those declared but not created as `registered`; without deleted
            ones.
        versions: Versions at providers in records.
        active_age_s: Average time since the active agents became active, in seconds.
        provisioned: How often provisioning ended, in success or failure.
        provisioning_s: Total time of these provisionings, in seconds.
        steps: Number of audit entries by kind, of all time.
        hours: The same by UTC hour for the hours asked for, latest first, without empty hours.
        made: Versions created in these hours, by agent, most first.
    """

    states: Mapping[str, int]
    versions: int
    active_age_s: float
    provisioned: int
    provisioning_s: float
    steps: Mapping[str, int]
    hours: Sequence[tuple[str, Mapping[str, int]]]
    made: Sequence[tuple[str, int]]


def change(before: AgentRecord | None, after: AgentRecord) -> Counts:
    """Return the counts that a change of a record adds, including its new audit entries.

    Args:
        before: The record before; None if new.
        after: The record after.
    """
    counts = Counter(f"step.{line.step}" for line in after.unpublished)
    if before is None or before.state is not after.state:
        counts[f"state.{after.state}"] += 1
        if before is not None:
            counts[f"state.{before.state}"] -= 1
    counts[VERSIONS] = len(after.held) - (len(before.held) if before else 0)
    counts[ACTIVE_SINCE] = _active_since(after) - (_active_since(before) if before else 0)
    if before is not None and before.state is AgentState.PROVISIONING and before.state is not after.state:
        counts[PROVISIONED] = 1
        counts[PROVISIONING_MS] = round((after.since - before.since).total_seconds() * 1000)
    made = counts[f"step.{AuditStep.CREATED}"]
    if made:
        counts[f"made.{after.name}"] += made
    return {name: count for name, count in counts.items() if count}


def declaration_change(*, existed: bool, exists: bool) -> Counts:
    """Return the counts that a change of a declaration adds, given whether the agent existed before and after."""
    return {DECLARED: exists - existed} if exists is not existed else {}


def change_row(workspace: str, counts: Counts, now: datetime) -> Row:
    """Return the row with a change's counts."""
    return Row(workspace, f"{_NEW}{new_id()}", {"hour": hour_bucket(now), "counts": json.dumps(counts)})


def add(counts: Counts, more: Counts) -> Counts:
    """Return the sum of two counts; of the agents by versions made, at most a hundred."""
    total = dict(counts)
    for name, count in more.items():
        crowded = name not in total and name.startswith("made.") and len(_named(total, "made.")) >= _MAX_AGENTS
        key = _OTHERS if crowded else name
        total[key] = total.get(key, 0) + count
    return {name: count for name, count in total.items() if count}


def lifecycle_of(total: Counts, by_hour: Mapping[str, Counts], now: datetime) -> LifecycleTotals:
    """Return the totals from the counts."""
    made: Counts = {}
    for counts in by_hour.values():
        made = add(made, {name: count for name, count in counts.items() if name.startswith("made.")})
    states = _named(total, "state.")
    states.pop(AgentState.DELETED, None)
    # Agents without a record, or whose record is from before they were declared again, have no counted state.
    if (unmade := total.get(DECLARED, 0) - sum(states.values())) > 0:
        states[AgentState.REGISTERED] = states.get(AgentState.REGISTERED, 0) + unmade
    active = states.get(AgentState.ACTIVE, 0)
    return LifecycleTotals(
        states,
        total.get(VERSIONS, 0),
        max(0.0, now.timestamp() - total.get(ACTIVE_SINCE, 0) / active) if active else 0.0,
        total.get(PROVISIONED, 0),
        total.get(PROVISIONING_MS, 0) / 1000,
        _named(total, "step."),
        [(hour, steps) for hour, counts in sorted(by_hour.items(), reverse=True) if (steps := _named(counts, "step."))],
        sorted(_named(made, "made.").items(), key=lambda item: (-item[1], item[0])),
    )


class LifecycleCounts:
    """Adds changes to the sums, and reads them."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        self._folding: set[asyncio.Task[None]] = set()

    async def read(self, workspace: str, now: datetime, hours: int) -> LifecycleTotals:
        """Return the workspace's totals up to now, and by hour for the last `hours` hours."""
        first = hour_bucket(now - timedelta(hours=hours - 1))
        # Sums first: a change that is added in between is missed for a moment rather than counted twice.
        hourly = Span(workspace, key_from=f"{_SUM}{first}", key_before=_ALL)
        sums = {row.key: _load(row) async for row in every(self._tables, TABLE, hourly)}
        total = await self._tables.get(TABLE, workspace, _ALL)
        sums[_ALL] = _load(total) if total else {}
        new = 0
        async for row in every(self._tables, TABLE, Span.prefix(workspace, _NEW)):
            new += 1
            for key, counts in _parts(row):
                sums[key] = add(sums.get(key, {}), counts)
        if new > _MANY:
            self.fold_soon(workspace)
        overall = sums.pop(_ALL)
        by_hour = {key.removeprefix(_SUM): counts for key, counts in sums.items() if key >= f"{_SUM}{first}"}
        return lifecycle_of(overall, by_hour, now)

    async def fold(self, workspace: str) -> int:
        """Add new changes to the sums, and return how many."""
        return await aggregate(self._tables, _SUMS, workspace)

    def fold_soon(self, workspace: str) -> None:
        """Add new changes to the sums a little later, together with those that follow until then."""
        if workspace not in self._waiting:
            loop = asyncio.get_running_loop()
            self._waiting[workspace] = loop.call_later(_FOLD_AFTER_S, self._begin, workspace)

    def _begin(self, workspace: str) -> None:
        del self._waiting[workspace]
        folding = asyncio.get_running_loop().create_task(self._fold(workspace))
        self._folding.add(folding)
        folding.add_done_callback(self._folding.discard)

    async def _fold(self, workspace: str) -> None:
        try:
            await self.fold(workspace)
        except Unavailable as error:
            # The changes stay in their rows and are added with the next ones.
            log.warning("changes not added to the sums: %s", error.code, extra={"event": "registry.not_counted"})


def _parts(row: Row) -> Sequence[tuple[str, Counts]]:
    counts = _load(row)
    total = {name: count for name, count in counts.items() if not name.startswith("made.")}
    hourly = {name: count for name, count in counts.items() if name.startswith(("step.", "made."))}
    return [(_ALL, total), *([(f"{_SUM}{row.text('hour')}", hourly)] if hourly else [])]


def _load(row: Row) -> Counts:
    return json.loads(row.text("counts"))


def _dump(counts: Counts) -> dict[str, str | int]:
    return {"counts": json.dumps(counts)}


_SUMS = Sums(TABLE, _parts, _load, _dump, add, new=_NEW)


def _active_since(record: AgentRecord) -> int:
    return int(record.since.timestamp()) if record.state is AgentState.ACTIVE else 0


def _named(counts: Counts, prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): count for name, count in counts.items() if name.startswith(prefix)}
