"""The rule for savings on the app itself: always-ready instances. Pure functions."""

from __future__ import annotations

from dataclasses import asdict

from llmops.capacity.scaling_forecast import FUNCTION, Recommendation, ScalingPolicy, SiteScale
from llmops.optimization.proposals import MONTH_DAYS, Change, Measured, Proposal, Saving

STANDING_BY, RUNNING, ON_DEMAND = 4, 16, 26
"""Price in micro-USD per GB-second of Flex Consumption: always-ready baseline, always-ready execution, on demand
(azure.microsoft.com/pricing/details/functions, US East, 2025).
"""
_DAY_S = 86_400


def idle_instances(plan: Recommendation, current: SiteScale, policy: ScalingPolicy) -> Proposal | None:
    """Return a proposal to keep fewer instances always ready, if the scaling plan recommends that; else None."""
    was, needed = current.always_ready.get(FUNCTION, 0), plan.scale.always_ready.get(FUNCTION, 0)
    if needed >= was or plan.held:
        return None
    high = _standing_by(was - needed, current.memory_mb, MONTH_DAYS)
    busy = min(float(was - needed), plan.at_a_time / policy.concurrency)
    dearer = round(busy * current.memory_mb / 1024 * MONTH_DAYS * _DAY_S * (ON_DEMAND - RUNNING))
    low = max(0, high - dearer)
    before = asdict(policy) | {"min_instances": was, "max_instances": max(was, policy.max_instances)}
    return Proposal(
        "idle_instances:app",
        "idle_instances",
        "",
        f"Keep {needed} instances always ready instead of {was}.",
        {
            "always_ready": was,
            "needed": needed,
            "runs_at_a_time_at_the_peak": round(plan.at_a_time, 3),
            "memory_mb": current.memory_mb,
        },
        "instances that are no longer ready x their memory x 30 days at the list price of standing by; at least that "
        "less what their runs cost more on demand",
        Saving(low, (low + high) // 2, high),
        "low",
        "A run at a sudden peak waits until an instance has started.",
        Change("scale", "", 0, {"always_ready": needed}, before, plan=plan.id),
    )


def really_saved(one: Proposal, current: SiteScale, days: int) -> Measured:
    """Return the measured saving over so many days of a change of always-ready instances, if it is still in effect."""
    fewer = int(one.evidence["always_ready"]) - current.always_ready.get(FUNCTION, 0)
    return Measured(0, 0, None, None, _standing_by(fewer, current.memory_mb, days), None, None)


def is_done(one: Proposal, current: SiteScale) -> bool:
    """Return whether the app already has the scale of the proposal."""
    return current.always_ready.get(FUNCTION, 0) == one.change.fields["always_ready"]


def _standing_by(instances: int, memory_mb: int, days: int) -> int:
    return round(instances * memory_mb / 1024 * days * _DAY_S * STANDING_BY)
