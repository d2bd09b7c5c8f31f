"""Recommending a scale for the app, and applying it.

Table `pools`, partition `_scaling`: `policy` the scaling policy; `state` since when each trigger's condition holds, and
when a plan was last applied. The app has one of each, because all workspaces share its instances.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from kernel.codec import JsonCodec
from kernel.errors import Conflict, Forbidden
from kernel.journal import Event
from kernel.preconditions import put_row
from kernel.tables import Row, RowChanged, RowExists, put
from llmops.capacity.scaling_forecast import (
    FLEX,
    WEEKS,
    Load,
    Platform,
    Recommendation,
    ScalingPolicy,
    SiteScale,
    Trigger,
    recommend,
)

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.journal import Journal
    from kernel.tables import Tables
    from llmops.capacity.worker_resources import ResourceReader
    from llmops.facts.sum_reader import FactSums

log = logging.getLogger(__name__)

TABLE, PARTITION = "pools", "_scaling"
_POLICY = JsonCodec(ScalingPolicy)
_CHANGES_BEFORE_GIVING_UP = 5
Workspaces = Callable[[], AsyncIterator[str]]


class ScaleTarget(Protocol):
    """What is scaled: an app on Azure, or the worker processes of the local host.

    Both methods raise Unavailable if it cannot be reached, Forbidden if the app's identity lacks the permission, and
    Conflict if the platform refuses a value.
    """

    platform: Platform
    """What it takes."""

    async def read(self) -> SiteScale:
        """Return the current scale."""
        ...

    async def write(self, scale: SiteScale) -> SiteScale:
        """Set the scale, wait until it is in effect, and return the new scale."""
        ...


class ScalingStore:
    """Stores the scaling policy, and since when each trigger's condition holds."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def policy(self) -> tuple[ScalingPolicy, str]:
        """Return the policy and its ETag; the default policy and an empty ETag where none was set."""
        row = await self._tables.get(TABLE, PARTITION, "policy")
        return (_POLICY.load(row.text("policy")), row.etag) if row else (ScalingPolicy(), "")

    async def put(self, policy: ScalingPolicy, if_match: str | None) -> str:
        """Store the policy and return its ETag. How long a trigger has held is forgotten with the trigger.

        Raises:
            InvalidInput: The policy is not valid.
            EtagMismatch: It has changed since the caller read it.
            Conflict: Other callers kept changing the state.
        """
        policy.check()
        row = Row(PARTITION, "policy", {"policy": _POLICY.dump(policy)})
        etag, _ = await put_row(self._tables, TABLE, row, if_match)
        kept = {trigger.key for trigger in policy.triggers}

        def forget(state: dict[str, Any]) -> None:
            since: dict[str, str] = state.get("since", {})
            if gone := since.keys() - kept:
                state["since"] = {key: at for key, at in since.items() if key not in gone}

        await self.change(forget)
        return etag

    async def state(self) -> dict[str, Any]:
        """Return since when each trigger's condition holds (`since`), and when a plan was last applied (`applied`)."""
        row = await self._tables.get(TABLE, PARTITION, "state")
        return json.loads(row.text("state")) if row else {}

    async def change(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the state.

        Raises:
            Conflict: Other callers kept changing it.
        """
        for _ in range(_CHANGES_BEFORE_GIVING_UP):
            stored = await self._tables.get(TABLE, PARTITION, "state")
            value: dict[str, Any] = json.loads(stored.text("state")) if stored else {}
            before = json.dumps(value, sort_keys=True)
            change(value)
            text = json.dumps(value, sort_keys=True)
            if text == before:
                return
            row = Row(PARTITION, "state", {"state": text}, stored.etag if stored else "")
            try:
                await self._tables.commit(TABLE, [put(row)])
            except (RowChanged, RowExists):
                continue
            return
        raise Conflict("Others are changing the scale of the app.", code="scaling_busy")


class Scaler:
    """Recommends a scale, and applies recommendations."""

    def __init__(
        self,
        store: ScalingStore,
        figures: FactSums,
        resources: ResourceReader,
        journal: Journal,
        workspaces: Workspaces,
        target: ScaleTarget | None,
        clock: Clock,
    ) -> None:
        self._store = store
        self._figures = figures
        self._resources = resources
        self._journal = journal
        self._workspaces = workspaces
        self._target = target
        self._clock = clock

    async def policy(self) -> ScalingPolicy:
        """Return the scaling policy."""
        return (await self._store.policy())[0]

    async def recommend(self) -> tuple[Recommendation, SiteScale | None]:
        """Return the recommended scale, and the current one; None where that is not known.

        Raises:
            AppError: The platform could not be asked for the current scale.
        """
        now = self._clock()
        policy, _ = await self._store.policy()
        state = await self._store.state()
        since: dict[str, str] = state.get("since", {})
        holding = [
            trigger
            for trigger in policy.triggers
            if trigger.key in since
            and (now - datetime.fromisoformat(since[trigger.key])).total_seconds() >= trigger.duration_s
        ]
        applied = datetime.fromisoformat(state["applied"]) if "applied" in state else None
        current = await self._target.read() if self._target is not None else None
        platform = self._target.platform if self._target is not None else FLEX
        return recommend(policy, await self._loads(now), current, holding, applied, now, platform), current

    async def apply(self, plan_id: str, workspace: str, by: str) -> tuple[SiteScale, SiteScale]:
        """Apply a recommended plan; return the scale before and after.

        Raises:
            Forbidden: Applying plans is disabled.
            Conflict: The recommendation has changed (`plan_changed`), the cooldown is not over (`scaling_cooldown`), or
                the
                platform refuses.
            AppError: The platform cannot be reached, or the app's identity lacks the permission.
        """
        if self._target is None:
            msg = "Applying is off: SCALING_APPLY=true and SCALING_SITE, with the role that infra/ gives for it."
            raise Forbidden(msg, code="scaling_off")
        plan, before = await self.recommend()
        if plan.id != plan_id:
            msg = "The recommendation is another one by now; read it again."
            raise Conflict(msg, code="plan_changed")
        if plan.held:
            raise Conflict(plan.held, code="scaling_cooldown")
        now = self._clock()
        # Before the change: if this worker dies after it, no other one may change the scale again at once.
        await self._store.change(lambda state: state.update(applied=now.isoformat()))
        after = await self._target.write(plan.scale)
        data = {"plan": plan.id, "instances": plan.instances, "maximum": after.maximum_instances, "by": by or None}
        event = Event("scaling.applied", data, now)
        await self._journal.record(workspace, f"scaling.applied/{plan.id}/{now.isoformat()}", event)
        return before or SiteScale(), after

    async def observe(self) -> int:
        """Store since when the triggers' conditions hold, over all workspaces, and return how many hold."""
        policy, _ = await self._store.policy()
        if not policy.triggers:
            return 0
        now, values = self._clock(), dict[str, float]()
        async for workspace in self._workspaces():
            found = await self._resources.now(workspace)
            measured = [
                *(("memory_share", one.memory_share) for one in found.workers if one.memory_share is not None),
                *(("cpu_share", one.cpu_share) for one in found.workers),
                *(("pool_used_share", one.share) for one in found.pools),
            ]
            for name, value in measured:
                values[name] = max(values.get(name, 0.0), value)
            waiting = sum(one.waiting for one in found.pools)
            values["pool_waiting"] = values.get("pool_waiting", 0.0) + waiting
        holding = {trigger.key for trigger in policy.triggers if trigger.holds(values.get(trigger.metric))}

        def change(state: dict[str, Any]) -> None:
            since: dict[str, str] = state.get("since", {})
            state["since"] = {key: since.get(key, now.isoformat()) for key in holding}

        await self._store.change(change)
        return len(holding)

    async def _loads(self, now: datetime) -> Sequence[Load]:
        """Return the load of all workspaces' runs by hour."""
        first = (now - timedelta(weeks=WEEKS)).date()
        by_hour: dict[datetime, Load] = {}
        for cell in await self._figures.hours(None, None, first, now.date()):
            summary = cell.summary
            runs = summary.runs + summary.cancelled
            busy_ms = max(0.0, (summary.latency.mean or 0.0) - (summary.queue.mean or 0.0)) * runs
            before = by_hour.get(cell.start, Load(cell.start, 0, 0.0))
            by_hour[cell.start] = Load(cell.start, before.runs + runs, before.busy_s + busy_ms / 1000)
        return list(by_hour.values())


__all__ = ["Recommendation", "ScaleTarget", "Scaler", "ScalingStore", "Trigger"]
