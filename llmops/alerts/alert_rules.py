"""Alert rules, when they fire and resolve, and the record of each firing. Pure; `llmops.alerts.store` stores them.

ok ──condition met, cooldown over──► firing
 ▲──────────────recovered───────────────┘      without data the status stays, and `no_data` is set
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints, model_validator

from kernel.errors import InvalidInput
from kernel.ids import newest_first
from kernel.lazy_dataclass import dataclass
from llmops.alerts.alert_metrics import WHOLE_WORKSPACE, Metric
from llmops.notifications.notification import Severity

Condition = Literal["gt", "gte", "lt", "lte"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$")]
AgentPattern = Annotated[
    str, StringConstraints(pattern=r"^(?:[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?|(?:[a-z0-9][a-z0-9_-]{0,61})?\*)$")
]
Number = Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False, strict=True)]

RESERVED = frozenset({"fired"})
"""Names that a rule cannot have, because the API uses them for something else."""
WORDS = {"gt": "above", "gte": "at or above", "lt": "below", "lte": "at or below"}


class AlertRule(BaseModel):
    """An alert rule: when to alert, and whom.

    Attributes:
        metric: The metric.
        agent: The agent it is about; `support-*` for all whose names begin with `support-`, later ones included; None
            or
            `*` for all agents of the workspace together.
        condition: How the value compares with the threshold when the rule is to fire: `gt`, `gte`, `lt` or `lte`.
        threshold: The threshold; times in ms, shares 0-1, money in USD.
        recover_at: The value at which the alert resolves; None for the threshold. A value beyond the threshold keeps a
            metric that varies around the threshold from firing again and again (hysteresis).
        window_s: Length of the time window up to now, in seconds; by the minute up to six hours, else by the hour.
        min_runs: Fewest runs in the window; with fewer, a metric computed from runs has no data.
        severity: Severity.
        cooldown_s: Shortest time between two firings, in seconds.
        channels: Channels it is sent to; empty for every channel that subscribes to `alert.fired`, `alert.resolved`.
        enabled: False switches the rule off; an open firing resolves.
        description: Text for people; part of the notification.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    metric: Metric
    agent: AgentPattern | None = None
    condition: Condition
    threshold: Number
    recover_at: Number | None = None
    window_s: int = Field(default=300, ge=60, le=7 * 86400, strict=True)
    min_runs: int = Field(default=1, ge=1, le=1_000_000, strict=True)
    severity: Severity = "warning"
    cooldown_s: int = Field(default=900, ge=0, le=7 * 86400, strict=True)
    channels: tuple[Name, ...] = Field(default=(), max_length=20)
    enabled: StrictBool = True
    description: str = Field(default="", max_length=500)

    @model_validator(mode="after")
    def _consistent(self) -> AlertRule:
        if self.recover_at is not None and breached(self.condition, self.recover_at, self.threshold):
            msg = "recover_at must not itself meet the condition"
            raise ValueError(msg)
        if self.agent is not None and self.metric in WHOLE_WORKSPACE:
            msg = f"{self.metric} is of the whole workspace; leave out agent"
            raise ValueError(msg)
        return self

    @property
    def of_several(self) -> bool:
        """Whether the rule is about several agents together."""
        return self.agent is None or self.agent.endswith("*")

    def covers(self, agent: str) -> bool:
        """Return whether the agent is one of those the rule is about."""
        if self.agent is None or not self.agent.endswith("*"):
            return self.agent in (None, agent)
        return agent.startswith(self.agent[:-1])


class RuleStatus(StrEnum):
    """The status of an alert rule."""

    OK = "ok"
    FIRING = "firing"


class Resolution(StrEnum):
    """Why an alert resolved."""

    RECOVERED = "recovered"
    DISABLED = "disabled"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class State:
    """The stored status of an alert rule.

    Attributes:
        status: See Status.
        since: Time of the last change of status.
        value: The latest known value of the metric; None if it never had one.
        no_data: Whether the last evaluation had no data; then status and value are from before it.
        fired_at: Time of the last firing; None for never.
        firing: Storage key of the last firing; empty for none.
        unpublished: Whether the change to this status has not been notified yet.
    """

    status: RuleStatus
    since: datetime
    value: float | None = None
    no_data: bool = False
    fired_at: datetime | None = None
    firing: str = ""
    unpublished: bool = False


def breached(condition: Condition, value: float, threshold: float) -> bool:
    """Return whether the value meets the condition."""
    match condition:
        case "gt":
            return value > threshold
        case "gte":
            return value >= threshold
        case "lt":
            return value < threshold
        case "lte":
            return value <= threshold


def evaluated(rule: AlertRule, state: State, value: float | None, now: datetime) -> State:
    """Return the state of the rule after an evaluation; the same object when nothing changed."""
    if value is None:
        return state if state.no_data else replace(state, no_data=True)
    seen = replace(state, value=value, no_data=False)
    bad = breached(rule.condition, value, rule.threshold)
    if state.status is RuleStatus.FIRING:
        back = not bad and (rule.recover_at is None or not _short_of(rule.condition, value, rule.recover_at))
        return replace(seen, status=RuleStatus.OK, since=now, unpublished=True) if back else seen
    rested = state.fired_at is None or now - state.fired_at >= timedelta(seconds=rule.cooldown_s)
    if bad and rested:
        return replace(seen, status=RuleStatus.FIRING, since=now, fired_at=now, unpublished=True)
    return seen


def closed(state: State, now: datetime) -> State:
    """Return the state of a rule that is no longer evaluated: an open firing is resolved."""
    if state.status is RuleStatus.OK:
        return state
    return replace(state, status=RuleStatus.OK, since=now, unpublished=True)


def alert_name(text: str) -> str:
    """Return the name if it is a valid name of a rule, formed like an agent's.

    Raises:
        InvalidInput: It is not, or it is reserved.
    """
    if text in RESERVED or not re.fullmatch(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?", text):
        rule = "1-63 characters of a-z, 0-9, '_' and '-', alphanumeric at both ends, and not 'fired'"
        raise InvalidInput(f"Not a valid alert name: use {rule}.", code="invalid_alert_name")
    return text


def _short_of(condition: Condition, value: float, recover_at: float) -> bool:
    """Return whether the value has not yet reached the value at which the alert resolves."""
    return value > recover_at if condition in ("gt", "gte") else value < recover_at


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
        resolved_value: Value of the metric when it resolved; None where it resolved for another reason, or the rule
            looks at another metric or agent by then.
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
