"""The health of a deployment, shared by all workers: circuit breaker and throttling, as pure rules.

The circuit breaker (martinfowler.com/bliki/CircuitBreaker.html): `closed` lets calls through and counts failures in a
row; `open` lets none through until its time is over; `half_open` lets one call (the probe) through at a time over all
workers, and closes or opens by its outcome. Throttling is separate: a deployment that answers 429 is healthy, but busy.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from kernel.lazy_dataclass import dataclass

State = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a circuit breaker opens, and for how long.

    Attributes:
        failures: Consecutive failures that open it.
        within: A failure later than this after the previous one starts a new count.
        opens_for: How long it is open the first time; doubled each consecutive time.
        at_most: Longest time it is open.
        probe_lasts: How long the probe may take before another one is allowed.
        throttled_for: Pause after a 429 without `Retry-After`.
        throttled_at_most: Longest `Retry-After` that is respected.
    """

    failures: int = 3
    within: timedelta = timedelta(seconds=60)
    opens_for: timedelta = timedelta(seconds=10)
    at_most: timedelta = timedelta(minutes=5)
    probe_lasts: timedelta = timedelta(seconds=150)
    throttled_for: timedelta = timedelta(seconds=10)
    throttled_at_most: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Health:
    """The health of a deployment.

    Attributes:
        failures: Consecutive failures while the breaker is closed.
        failed_at: Time of the last failure, aware UTC; None for none.
        code: Error code of the last failure.
        opened: How often the breaker has opened consecutively; 0 while it is closed.
        open_until: When it becomes half-open; None while it is closed.
        prober: Id of the probe; empty for none.
        probe_until: When the probe times out.
        throttled_until: Until when the deployment asked to receive no calls; None without such a request.
    """

    failures: int = 0
    failed_at: datetime | None = None
    code: str = ""
    opened: int = 0
    open_until: datetime | None = None
    prober: str = ""
    probe_until: datetime | None = None
    throttled_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class BreakerChange:
    """A deployment's breaker opened or closed.

    Attributes:
        deployment: The deployment.
        at: When, aware UTC.
        opened: How often in a row it has opened; 0: it has closed.
        code: Error code that opened it; empty where it has closed.
        until: Until when it is open; None where it has closed.
    """

    deployment: str
    at: datetime
    opened: int = 0
    code: str = ""
    until: datetime | None = None


def change(deployment: str, before: Health, after: Health, now: datetime) -> BreakerChange | None:
    """Return the change of the breaker between two states; None where it did not change."""
    if after.opened > before.opened:
        return BreakerChange(deployment, now, after.opened, after.code, after.open_until)
    closed = before.open_until is not None and after.open_until is None
    return BreakerChange(deployment, now) if closed else None


def state(health: Health, now: datetime) -> State:
    """Return the breaker's state."""
    if health.open_until is None:
        return "closed"
    return "open" if now < health.open_until else "half_open"


def free_at(health: Health, now: datetime) -> datetime | None:
    """Return when the next call may go to the deployment; None for now."""
    times = [health.open_until, health.throttled_until]
    if state(health, now) == "half_open" and health.prober:
        times.append(health.probe_until)
    return max((time for time in times if time is not None and time > now), default=None)


def failed(health: Health, policy: BreakerPolicy, now: datetime, who: str, code: str, *, certain: bool) -> Health:
    """Return the health after a failed call or a timeout.

    Args:
        health: The health before.
        policy: When the breaker opens.
        now: Time of the failure.
        who: Id of the call.
        code: Error code.
        certain: Whether the next call is certain to fail too, as with a wrong key; then the breaker opens at once.
    """
    if health.open_until is not None:
        # Of the calls under way when it opened, only the probe's outcome matters.
        return _opened(health, policy, now, code) if health.prober == who else health
    in_a_row = health.failed_at is not None and now - health.failed_at <= policy.within
    after = replace(health, failures=health.failures + 1 if in_a_row else 1, failed_at=now, code=code)
    return _opened(after, policy, now, code) if certain or after.failures >= policy.failures else after


def succeeded(health: Health, who: str) -> Health:
    """Return the health after a successful call; an open breaker is closed only by the probe."""
    if health.open_until is not None and health.prober != who:
        return health
    return Health(throttled_until=health.throttled_until)


def throttled(health: Health, policy: BreakerPolicy, now: datetime, who: str, retry_after_s: float | None) -> Health:
    """Return the health after the deployment asked to receive no calls for so many seconds.

    The breaker keeps its state, because the deployment has answered. The probe ends, so that the next call is one.
    """
    wait = policy.throttled_for if retry_after_s is None else timedelta(seconds=min(retry_after_s, 86_400.0))
    until = now + min(wait, policy.throttled_at_most)
    known = health.throttled_until
    # Many workers receive a 429 at once; a difference of less than a second is not worth a write.
    later = known is None or until - known >= timedelta(seconds=1)
    after = replace(health, throttled_until=until) if later else health
    return replace(after, prober="", probe_until=None) if health.prober == who else after


def probing(health: Health, policy: BreakerPolicy, now: datetime, who: str) -> Health | None:
    """Return the health with `who` as the probe of the half-open breaker; None where no probe is allowed."""
    if state(health, now) != "half_open" or free_at(health, now) is not None:
        return None
    return replace(health, prober=who, probe_until=now + policy.probe_lasts)


def let_go(health: Health, who: str) -> Health:
    """Return the health after a probe ended without an outcome, as when its run was cancelled."""
    return replace(health, prober="", probe_until=None) if health.prober == who else health


def _opened(health: Health, policy: BreakerPolicy, now: datetime, code: str) -> Health:
    lasts = min(policy.opens_for * 2 ** min(health.opened, 16), policy.at_most)
    return replace(
        health,
        failures=0,
        failed_at=now,
        code=code,
        opened=health.opened + 1,
        open_until=now + lasts,
        prober="",
        probe_until=None,
    )
