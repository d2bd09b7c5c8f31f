"""What the API answers of alerts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from llmops.alerts.rules import AlertRule
from triggers.views.base import View

if TYPE_CHECKING:
    from llmops.alerts.store import Alert, Standing


class AlertStateView(View):
    """How a rule stands: `ok` or `firing`, since when, and the metric when it was last known.

    `no_data` says that the last evaluation had none; status and value are then of an earlier one.
    """

    status: str
    since: datetime
    value: float | None
    no_data: bool
    fired_at: datetime | None


class AlertView(View):
    """A rule, and how it stands; `state` is null until it is evaluated for the first time."""

    name: str
    rule: AlertRule
    state: AlertStateView | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def from_alert(cls, alert: Alert, standing: Standing | None) -> AlertView:
        """Return the view of a rule and its state."""
        return cls(
            name=alert.name,
            rule=alert.rule,
            state=AlertStateView.of(standing.state) if standing else None,
            created_at=alert.created_at,
            updated_at=alert.updated_at,
        )


class FiringView(View):
    """An alert that fired, with the rule as it was then. `resolution` is recovered, disabled or deleted."""

    id: str
    alert: str
    metric: str
    agent: str | None
    condition: str
    threshold: float
    window_s: int
    severity: str
    channels: Sequence[str]
    description: str
    value: float
    fired_at: datetime
    resolved_at: datetime | None
    resolved_value: float | None
    resolution: str | None
