"""Metrics of the registry for alert rules: repeated creations, orphans, drift and cache hits."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.clock import hour_bucket
from lifecycle.drift.drift_plan import DriftKind
from lifecycle.registry.audit import AuditStep

if TYPE_CHECKING:
    from lifecycle.drift.plan_store import PlanStore
    from lifecycle.loader.hit_rates import HitRates
    from lifecycle.registry.agent_counts import LifecycleCounts
    from llmops.alerts.alert_metrics import Metric

_STEPS: Mapping[Metric, AuditStep] = {
    "versions_created": AuditStep.CREATED,
    "create_failures": AuditStep.CREATE_FAILED,
    "delete_failures": AuditStep.DELETE_FAILED,
}
_LEAKS = (DriftKind.ORPHAN, DriftKind.DUPLICATE)


class RegistryAlarms:
    """Reads the metrics FROM_REGISTRY and OF_LOADER for alert rules."""

    def __init__(self, counts: LifecycleCounts, plans: PlanStore, hit_rates: HitRates) -> None:
        self._counts = counts
        self._plans = plans
        self._hit_rates = hit_rates

    async def figures(self, workspace: str, since: datetime, now: datetime) -> Mapping[Metric, float]:
        """Return the metrics FROM_REGISTRY since then, the hour of `since` included; no drift before the first look.

        An agent that is declared but not created yet is no drift: it is created on first use.
        """
        hours = math.ceil((now - since).total_seconds() / 3600) + 1
        lifecycle, latest = await asyncio.gather(
            self._counts.read(workspace, now, hours), self._plans.latest(workspace)
        )
        steps: Counter[str] = Counter()
        for hour, counts in lifecycle.hours:
            if hour >= hour_bucket(since):
                steps.update(counts)
        found: dict[Metric, float] = {metric: float(steps[step]) for metric, step in _STEPS.items()}
        if latest is not None:
            found["leaks"] = float(sum(latest.counts.get(kind, 0) for kind in _LEAKS))
            found["drift"] = float(sum(count for kind, count in latest.counts.items() if kind != DriftKind.CREATE))
        return found

    async def hit_rates(self, workspace: str, since: datetime, now: datetime) -> Mapping[Metric, float]:
        """Return the metrics OF_LOADER since then; nothing where too little was looked up to say."""
        looked_up = await self._hit_rates.read(workspace, since)
        found: dict[Metric, float | None] = {
            "cache_hit_rate": looked_up.during.hit_rate,
            "cache_hit_rate_fall": looked_up.fall,
        }
        return {metric: value for metric, value in found.items() if value is not None}
