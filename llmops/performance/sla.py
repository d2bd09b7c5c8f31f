"""Service levels: what an agent is to keep, and whether it does."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from llmops.facts.summary import PerformanceSummary

LATENCY_SHARE = 0.95
"""Share of the answers that are to come in time."""


class SlaPolicy(BaseModel):
    """What an agent is to keep; what is left out is the app's setting.

    Attributes:
        latency_ms: Time in which 95 % of the answers are to be there, from the run's acceptance, in milliseconds.
        availability: Share of the runs that are to be answered, 0-1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    latency_ms: int | None = Field(default=None, ge=1, le=86_400_000)
    availability: float | None = Field(default=None, gt=0, le=1)


@dataclass(frozen=True, slots=True)
class SlaTarget:
    """What an agent is to keep, in milliseconds and as a share 0-1."""

    latency_ms: int
    availability: float

    def but(self, policy: SlaPolicy | None) -> SlaTarget:
        """Return the target with what the policy says instead."""
        if policy is None:
            return self
        return SlaTarget(policy.latency_ms or self.latency_ms, policy.availability or self.availability)


@dataclass(frozen=True, slots=True)
class Attainment:
    """Whether a target was kept.

    Attributes:
        target: The target.
        availability: Share of the runs that were answered, 0-1; None without runs.
        in_time: Share of the answers that came in time, 0-1; None without answers.
        kept: Whether both are as they should be; None without runs.
    """

    target: SlaTarget
    availability: float | None
    in_time: float | None
    kept: bool | None


def attainment(summary: PerformanceSummary, target: SlaTarget) -> Attainment:
    """Return whether the target was kept."""
    availability, in_time = summary.availability, summary.latency.share_within(target.latency_ms)
    if availability is None:
        return Attainment(target, None, None, None)
    kept = availability >= target.availability and (in_time is None or in_time >= LATENCY_SHARE)
    return Attainment(target, availability, in_time, kept)
