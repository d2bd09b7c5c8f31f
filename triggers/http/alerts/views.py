"""What the API answers of alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from llmops.alerts.rules import AlertRule
from triggers.http.views import Page, View


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
    """A rule, how it stands, and the channels it is told to.

    `default` says that it is there without being set. `misconfigured` names, by JSON pointer into the rule, an agent or
    a channel that is not there (any more). `state` is null until the rule is evaluated for the first time, a default
    rule's until it fires for the first time.
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


class AlertPage(Page[AlertView]):
    """Alert rules by name."""


class FiringPage(Page[FiringView]):
    """Alerts that fired, newest first."""
