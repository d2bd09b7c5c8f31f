"""An alert that fired, as the history keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kernel.ids import newest_first
from llmops.alerts.metrics import Metric
from llmops.alerts.rules import Condition, Resolution
from llmops.notifications.notification import Severity

FIRED = "fired!"
"""What the row keys of firings begin with."""


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that fired.

    Attributes:
        id: Unique.
        alert: The rule's name.
        metric: What it looked at, as all that follows at the time of firing.
        agent: Whose; None for all agents together.
        condition: How the value compared with the threshold.
        threshold: What it was compared with.
        window_s: The time looked at, in seconds.
        severity: How bad it is.
        channels: Where it is told; empty for every channel that wants it.
        description: The rule's.
        value: The metric when it fired.
        fired_at: When, aware UTC.
        resolved_at: When it resolved; None while it is open.
        resolved_value: The metric when it resolved; None when that is not why.
        resolution: Why it resolved.
    """

    id: str
    alert: str
    metric: Metric
    agent: str | None
    condition: Condition
    threshold: float
    window_s: int
    severity: Severity
    channels: tuple[str, ...]
    description: str
    value: float
    fired_at: datetime
    resolved_at: datetime | None = None
    resolved_value: float | None = None
    resolution: Resolution | None = None

    @property
    def key(self) -> str:
        """Its row key."""
        return FIRED + newest_first(self.fired_at, self.id)
