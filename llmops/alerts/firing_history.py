"""The history of fired alerts."""

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
        metric: The metric of the rule. This and the following are as they were when it fired.
        agent: The agent it is about; None for all agents together.
        condition: How the value compared with the threshold.
        threshold: What it was compared with.
        window_s: Length of the time window, in seconds.
        severity: Severity of the rule.
        channels: Channels it is sent to; empty for every channel that subscribes to alerts.
        description: Description of the rule.
        value: Value of the metric when it fired.
        fired_at: When, aware UTC.
        resolved_at: When it resolved; None while it is open.
        resolved_value: Value of the metric when it resolved; None where it resolved for another reason.
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
        """The row key of the firing."""
        return FIRED + newest_first(self.fired_at, self.id)
