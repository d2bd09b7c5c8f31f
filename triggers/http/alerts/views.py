"""Request and response models of alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from llmops.alerts.alert_rules import AlertRule
from triggers.http.base_models import Page, View


class AlertStateView(View):
    """The state of a rule: `ok` or `firing`, since when, and the last known value of the metric.

    `no_data` means that the last evaluation had no data; status and value are then from an earlier one.
    """

    status: str
    since: datetime
    value: float | None
    no_data: bool
    fired_at: datetime | None


class AlertView(View):
    """An alert rule, its state, and the channels it notifies.

    `default` means that it exists without being set. `misconfigured` lists, as JSON pointers into the rule, an agent or
    channels that do not exist (any more). `state` is null until the rule is first evaluated; for a default rule, until
    it first fires.
    """

    name: str
    default: bool
    recipients: Sequence[str]
    misconfigured: Mapping[str, str]
    rule: AlertRule
    state: AlertStateView | None
    created_at: datetime | None
    updated_at: datetime | None


class FiringView(View):
    """A fired alert, with the rule as it was then. `resolution` is recovered, disabled or deleted."""

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


class AlertPage(Page[AlertView]):
    """Alert rules by name."""


class FiringPage(Page[FiringView]):
    """Fired alerts, newest first."""
