"""How many instances the app needs, forecast from the load of each hour of the week. Pure functions.

Little's law (J. D. C. Little, "A Proof for the Queuing Formula: L = λW", Operations Research 9(3), 1961): the mean
number of concurrent runs is the arrival rate (runs per second) times the mean time of a run in seconds. It holds for
any order and any distribution, and says nothing about peaks within an hour: the target utilisation (`up`) leaves room
for these.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, field
from datetime import datetime, timedelta
from typing import Literal

from kernel.errors import InvalidInput
from kernel.lazy_dataclass import dataclass

HOURS_A_WEEK = 168
WEEKS = 4
FUNCTION = "function:run_agent"
"""Name of the Flex instance group that carries out runs."""


@dataclass(frozen=True, slots=True)
class Platform:
    """What runs the app, and what it takes.

    Attributes:
        least: The fewest that it takes as the most instances.
        most: The most that it takes.
        on_demand: Whether instances come when there is work, and the HTTP requests of each can be set. Else all are
            always there.
    """

    least: int
    most: int
    on_demand: bool = True


FLEX = Platform(40, 1000)
"""The Flex Consumption plan."""
LOCAL = Platform(1, 10, on_demand=False)
"""The local host, whose instances are worker processes."""

TriggerMetric = Literal["memory_share", "cpu_share", "pool_used_share", "pool_waiting"]
Action = Literal["scale_up", "scale_down"]
Condition = Literal["gt", "gte", "lt", "lte"]


@dataclass(frozen=True, slots=True)
class Load:
    """Load of an hour: the runs that ended in it, and the seconds that workers were busy with them."""

    start: datetime
    runs: int
    busy_s: float


@dataclass(frozen=True, slots=True)
class Trigger:
    """A rule that asks for one instance more or less than the forecast.

    Attributes:
        metric: A metric of GET resources; `pool_waiting` is the number of requests waiting for capacity in pools.
        condition: How the metric compares with the threshold.
        threshold: The threshold.
        duration_s: How long the condition must hold, in seconds.
        action: The change to make.
        priority: Where several triggers hold, the one with the highest priority counts.
    """

    metric: TriggerMetric
    condition: Condition
    threshold: float
    duration_s: float = 60
    action: Action = "scale_up"
    priority: int = 1

    @property
    def key(self) -> str:
        """Identifies the trigger."""
        return f"{self.metric} {self.condition} {self.threshold:g} {self.action}"

    def holds(self, value: float | None) -> bool:
        """Return whether the condition holds; False without a value."""
        if value is None:
            return False
        match self.condition:
            case "gt":
                return value > self.threshold
            case "gte":
                return value >= self.threshold
            case "lt":
                return value < self.threshold
            case "lte":
                return value <= self.threshold


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """How the app is to be scaled.

    Attributes:
        min_instances: Instances for runs that are always ready.
        max_instances: Most instances recommended.
        concurrency: Concurrent runs per instance.
        http_concurrency: Concurrent HTTP requests per instance; None leaves it unchanged.
        up: Target utilisation of the slots at a peak, 0-1; above it, more instances are recommended.
        down: Utilisation below which fewer instances are recommended, 0-1.
        cooldown_s: Shortest time between two changes, in seconds.
        predictive: Whether to plan for the forecast of the coming day; else for the load of the last hour.
        triggers: Further rules.
    """

    min_instances: int = 2
    max_instances: int = 10
    concurrency: int = 32
    up: float = 0.8
    down: float = 0.3
    cooldown_s: float = 300
    predictive: bool = True
    triggers: tuple[Trigger, ...] = ()
    http_concurrency: int | None = None

    def check(self) -> None:
        """Check that the policy is valid.

        Raises:
            InvalidInput: `invalid_scaling_policy`, with the problem of each field.
        """
        wrong: dict[str, str] = {}
        if not 0 <= self.min_instances <= FLEX.most or not 1 <= self.max_instances <= FLEX.most:
            wrong["/max_instances"] = f"instances are 0, or 1 for the most, to {FLEX.most}"
        elif self.min_instances > self.max_instances:
            wrong["/min_instances"] = "min_instances is above max_instances"
        if not 1 <= self.concurrency <= 1000:
            wrong["/concurrency"] = "concurrency is 1 to 1000"
        if self.http_concurrency is not None and not 1 <= self.http_concurrency <= 1000:
            wrong["/http_concurrency"] = "http_concurrency is 1 to 1000"
        if not 0 < self.down < self.up <= 1:
            wrong["/down"] = "down is above 0 and below up, up at most 1"
        if not 0 <= self.cooldown_s <= 86_400:
            wrong["/cooldown_s"] = "cooldown_s is 0 to 86400"
        if len({trigger.key for trigger in self.triggers}) < len(self.triggers):
            wrong["/triggers"] = "two triggers are the same"
        if wrong:
            msg = "The policy is not valid: " + "; ".join(wrong.values()) + "."
            raise InvalidInput(msg, code="invalid_scaling_policy", fields=wrong)


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecast load of the coming hours.

    Attributes:
        hours: Runs by hour, from the next full hour on.
        error: Error of the same method over the last week: the sum of absolute errors as a share of the load; None with
            less than two weeks of data.
        weeks: Weeks of data it is based on.
    """

    hours: Sequence[tuple[datetime, float]]
    error: float | None
    weeks: int

    @property
    def peak(self) -> float:
        """Runs of the busiest hour, plus the error."""
        return max((runs for _, runs in self.hours), default=0.0) * (1 + (self.error or 0.0))

    @property
    def low(self) -> float:
        """Runs of the least busy hour."""
        return min((runs for _, runs in self.hours), default=0.0)


@dataclass(frozen=True, slots=True)
class SiteScale:
    """The scale of an app.

    Attributes:
        always_ready: Always-ready instances by group.
        maximum_instances: Most instances in total.
        http_concurrency: Concurrent HTTP requests per instance; None where the platform chooses.
        memory_mb: Memory of an instance in MB; it is never changed.
    """

    always_ready: Mapping[str, int] = field(default_factory=dict[str, int])
    maximum_instances: int = FLEX.least
    http_concurrency: int | None = None
    memory_mb: int = 2048


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A recommended scale, and what it is based on.

    Attributes:
        service_s: Mean time a worker is busy with a run, in seconds.
        arrivals_per_s: Runs per second at the peak.
        at_a_time: Mean concurrent runs at the peak, the product of both (Little's law).
        instances: Instances needed at the peak, within the policy.
        always_ready: Instances that are always used, within the policy.
        held: Why nothing is to be changed now, though it would be; empty where it may.
        reasons: What decided, in words.
        scale: How the app is to be scaled; as it is where nothing changes.
        forecast: What is expected.
        platform: What runs the app.
    """

    service_s: float
    arrivals_per_s: float
    at_a_time: float
    instances: int
    always_ready: int
    held: str
    reasons: tuple[str, ...]
    scale: SiteScale
    forecast: Forecast
    platform: Platform = FLEX

    @property
    def id(self) -> str:
        """Identifies the plan: equal changes have equal ids."""
        text = json.dumps([asdict(self.scale), self.held], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def forecast(loads: Sequence[Load], now: datetime, hours: int = 24) -> Forecast:
    """Return the forecast: for each hour the mean of the same hour of the week, over up to four past weeks.

    Args:
        loads: Past loads in any order; a missing hour counts as 0.
        now: The time.
        hours: How many hours to forecast.
    """
    by_hour = {load.start: load.runs for load in loads}
    first = min(by_hour, default=now)
    this = now.replace(minute=0, second=0, microsecond=0)
    coming = [this + timedelta(hours=number) for number in range(1, hours + 1)]
    past = [this - timedelta(hours=number) for number in range(1, HOURS_A_WEEK + 1)]
    known = [(hour, _expected(by_hour, hour, first, hour)) for hour in past if hour - timedelta(weeks=1) >= first]
    came = sum(by_hour.get(hour, 0) for hour, _ in known)
    wrong = sum(abs(by_hour.get(hour, 0) - runs) for hour, runs in known)
    return Forecast(
        [(hour, _expected(by_hour, hour, first, this)) for hour in coming],
        wrong / came if came and len(known) == HOURS_A_WEEK else None,
        min(WEEKS, math.ceil((now - first) / timedelta(weeks=1))) if by_hour else 0,
    )


def _expected(by_hour: Mapping[datetime, int], hour: datetime, first: datetime, before: datetime) -> float:
    """Return the expected runs of an hour: by the same hour of past weeks, else of past days, else of all hours."""
    for step in (timedelta(weeks=1), timedelta(days=1)):
        known: list[int] = []
        at = hour - step
        while at >= max(first, hour - timedelta(weeks=WEEKS)):
            if at < before:
                known.append(by_hour.get(at, 0))
            at -= step
        if known:
            return sum(known) / len(known)
    return sum(by_hour.values()) / max(1, len(by_hour))


def recommend(
    policy: ScalingPolicy,
    loads: Sequence[Load],
    current: SiteScale | None,
    holding: Sequence[Trigger],
    changed_at: datetime | None,
    now: datetime,
    platform: Platform = FLEX,
) -> Recommendation:
    """Return the recommended scale.

    Args:
        policy: The scaling policy.
        loads: Loads of the past weeks.
        current: The current scale; None where it is not known.
        holding: Triggers whose conditions have held for long enough.
        changed_at: When a plan was last applied; None for never.
        now: The time.
        platform: What runs the app.
    """
    expected = forecast(loads, now)
    recent = [load for load in loads if load.start >= now - timedelta(weeks=1)]
    runs = sum(load.runs for load in recent)
    service_s = sum(load.busy_s for load in recent) / runs if runs else 0.0
    last = _last_hour(loads, now)
    peak, low = (expected.peak, expected.low) if policy.predictive else (last, last)
    at_a_time = peak / 3600 * service_s
    needed = math.ceil(at_a_time / policy.up / policy.concurrency)
    base = math.ceil(low / 3600 * service_s / policy.up / policy.concurrency)
    reasons = [f"{peak / 3600:.3f} runs a second of {service_s:.1f} s are {at_a_time:.1f} at a time (L = λW)"]
    for trigger in sorted(holding, key=lambda one: -one.priority)[:1]:
        step = 1 if trigger.action == "scale_up" else -1
        needed, base = max(needed, base) + step, base + step
        reasons.append(f"{trigger.key} has held for {trigger.duration_s:g} s")
    instances = min(max(policy.min_instances, min(policy.max_instances, needed), 1), platform.most)
    always = max(policy.min_instances, min(instances, base))
    if needed > policy.max_instances:
        reasons.append(f"{needed} instances would be needed, and the policy allows {policy.max_instances}")
    if needed < policy.min_instances:
        reasons.append(f"{needed} would do, and the policy has {policy.min_instances} at least")
    if max(needed, policy.min_instances) > platform.most:
        reasons.append(f"there can be {platform.most} at most here")
    if not platform.on_demand:
        always = instances
    scale = _scale(policy, current, (instances, always), at_a_time, reasons, platform)
    held = ""
    if changed_at is not None and (left := policy.cooldown_s - (now - changed_at).total_seconds()) > 0:
        held = f"The last change was less than {policy.cooldown_s:g} s ago; {math.ceil(left)} s are left."
    load = (service_s, peak / 3600, at_a_time)
    return Recommendation(*load, instances, always, held, tuple(reasons), scale, expected, platform)


def _last_hour(loads: Sequence[Load], now: datetime) -> float:
    """Return the runs of the last 60 minutes: those of this hour, and an even part of those of the hour before."""
    this = now.replace(minute=0, second=0, microsecond=0)
    runs = {load.start: load.runs for load in loads}
    before = 1 - (now - this) / timedelta(hours=1)
    return runs.get(this, 0) + before * runs.get(this - timedelta(hours=1), 0)


def _scale(
    policy: ScalingPolicy,
    current: SiteScale | None,
    wanted: tuple[int, int],
    at_a_time: float,
    reasons: list[str],
    platform: Platform,
) -> SiteScale:
    """Return the recommended scale; it is reduced only where the utilisation is below `down`."""
    instances, always = wanted
    before = current or SiteScale()
    was = before.always_ready.get(FUNCTION, 0)
    if always < was and at_a_time / max(1, was * policy.concurrency) >= policy.down:
        reasons.append(f"at least {policy.down:.0%} of what is always ready is used, so that it stays")
        always = was
    most = max(platform.least, instances, always)
    if platform.least > instances:
        reasons.append(f"the platform takes no fewer than {platform.least} as the most instances")
    ready = {group: count for group, count in before.always_ready.items() if group != FUNCTION}
    if always:
        ready[FUNCTION] = always
    http = (policy.http_concurrency if platform.on_demand else None) or before.http_concurrency
    return SiteScale(dict(sorted(ready.items())), most, http, before.memory_mb)


def commands(plan: Recommendation, current: SiteScale | None, group: str, name: str) -> Iterator[str]:
    """Yield the commands that do what a plan says: of the Azure CLI, where that runs the app, and of the local host."""
    if plan.platform.on_demand:
        yield from _azure_commands(plan, current, group, name)
    yield f"python -m devhost --workers {min(plan.instances, LOCAL.most)}"


def _azure_commands(plan: Recommendation, current: SiteScale | None, group: str, name: str) -> Iterator[str]:
    app = f"--resource-group {group or 'GROUP'} --name {name or 'APP'}"
    before = current or SiteScale({}, 0)
    if plan.scale.maximum_instances != before.maximum_instances:
        yield f"az functionapp scale config set {app} --maximum-instance-count {plan.scale.maximum_instances}"
    if plan.scale.http_concurrency != before.http_concurrency:
        settings = f"perInstanceConcurrency={plan.scale.http_concurrency}"
        yield f"az functionapp scale config set {app} --trigger-type http --trigger-settings {settings}"
    changed = [
        f"{group}={count}"
        for group, count in plan.scale.always_ready.items()
        if before.always_ready.get(group, 0) != count
    ]
    if changed:
        yield f"az functionapp scale config always-ready set {app} --settings {' '.join(changed)}"
    if gone := [group for group in before.always_ready if group not in plan.scale.always_ready]:
        yield f"az functionapp scale config always-ready delete {app} --setting-names {' '.join(gone)}"
