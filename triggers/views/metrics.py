"""What the API answers of the registry's metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from triggers.views.base import View

if TYPE_CHECKING:
    from lifecycle.registry.counts import Lifecycle


class HourView(View):
    """What happened to agents in a UTC hour, like `2026-11-21T08`; steps are those of an agent's audit trail."""

    hour: str
    steps: Mapping[str, int]


class MadeView(View):
    """How many versions of an agent were made in the hours shown."""

    agent: str
    versions: int


class LifecycleView(View):
    """What has become of a workspace's agents: in all, in the last 24 hours, and at the latest look for drift."""

    agents: Mapping[str, int]
    versions: int
    mean_active_age_s: float
    mean_provisioning_s: float | None
    steps: Mapping[str, int]
    hours: Sequence[HourView]
    most_made: Sequence[MadeView]
    drift: Mapping[str, int]

    @classmethod
    def from_counts(cls, lifecycle: Lifecycle, drift: Mapping[str, int]) -> LifecycleView:
        """Return the view of what was counted."""
        times = lifecycle.provisioned
        return cls(
            agents=lifecycle.states,
            versions=lifecycle.versions,
            mean_active_age_s=round(lifecycle.active_age_s, 3),
            mean_provisioning_s=round(lifecycle.provisioning_s / times, 3) if times else None,
            steps=lifecycle.steps,
            hours=[HourView(hour=hour, steps=steps) for hour, steps in lifecycle.hours],
            most_made=[MadeView(agent=agent, versions=versions) for agent, versions in lifecycle.made[:10]],
            drift=drift,
        )
