"""Service levels: targets of an agent, and whether they are met."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from kernel.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from llmops.facts.performance_summary import PerformanceSummary

LATENCY_SHARE = 0.95
"""Share of answers that must come within the latency target."""


class SlaPolicy(BaseModel):
    """Service level of an agent; fields left out take the app's setting.

    Attributes:
        latency_ms: Time from the run's acceptance within which 95 % of the answers must come, in milliseconds.
        availability: Share of the runs that must be answered, 0-1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    latency_ms: int | None = Field(default=None, ge=1, le=86_400_000)
    availability: float | None = Field(default=None, gt=0, le=1)


@dataclass(frozen=True, slots=True)
class SlaTarget:
    """The targets of an agent: milliseconds, and a share 0-1."""

    latency_ms: int
    availability: float

    def but(self, policy: SlaPolicy | None) -> SlaTarget:
        """Return the targets with those of the policy where it sets any."""
        if policy is None:
            return self
        return SlaTarget(policy.latency_ms or self.latency_ms, policy.availability or self.availability)


@dataclass(frozen=True, slots=True)
class Attainment:
    """Whether targets were met.

    Attributes:
        target: The targets.
        availability: Share of the runs that were answered, 0-1; None without runs.
        in_time: Share of the answers that came in time, 0-1; None without answers.
        kept: Whether both targets were met; None without runs.
    """

    target: SlaTarget
    availability: float | None
    in_time: float | None
    kept: bool | None


def attainment(summary: PerformanceSummary, target: SlaTarget) -> Attainment:
    """Return whether the targets were met."""
    availability, in_time = summary.availability, summary.latency.share_within(target.latency_ms)
    if availability is None:
        return Attainment(target, None, None, None)
    kept = availability >= target.availability and (in_time is None or in_time >= LATENCY_SHARE)
    return Attainment(target, availability, in_time, kept)
