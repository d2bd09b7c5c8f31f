"""The health of a deployment, shared by all workers: circuit breaker and throttling, as pure rules.

The circuit breaker (martinfowler.com/bliki/CircuitBreaker.html): `closed` lets calls through and counts failures in a
row; `open` lets none through until its time is over; `half_open` lets one call through at a time, in all workers, and
closes or opens by what becomes of it. Throttling is apart from it: a deployment that answers 429 is well, and busy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

State = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens, and for how long.

    Attributes:
        failures: Failures in a row that open it.
        within: A failure later than this after the one before is the first in a row again.
        opens_for: How long it is open the first time; each time in a row twice as long.
        at_most: The longest that it is open.
        probe_lasts: How long the one call of a half-open breaker may take before another is let through.
        throttled_for: How long a 429 keeps calls away that does not say.
        throttled_at_most: The longest that a `Retry-After` is believed.
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
    """What is known of a deployment.

    Attributes:
        failures: Failures in a row, while the breaker is closed.
        failed_at: When it failed last, aware UTC; None before.
        code: Why it failed last.
        opened: How often in a row the breaker opened; 0 while it is closed.
        open_until: Until when it is open, and from when on half-open; None while it is closed.
        prober: Who makes the one call of the half-open breaker; empty for nobody.
        probe_until: Until when that one is waited for.
        throttled_until: Until when the deployment takes no calls, as it said itself; None when it did not.
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
    """That a deployment's breaker opened or closed.

    Attributes:
        deployment: The deployment.
        at: When, aware UTC.
        opened: How often in a row it has opened; 0: it has closed.
        code: Why it opened; empty where it has closed.
        until: Until when it is open; None where it has closed.
    """

    deployment: str
    at: datetime
    opened: int = 0
    code: str = ""
    until: datetime | None = None


def change(deployment: str, before: Health, after: Health, now: datetime) -> BreakerChange | None:
    """Return what became of the breaker between the two; None where it is as it was."""
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
    """Return from when on a call may go to the deployment; None for now."""
    times = [health.open_until, health.throttled_until]
    if state(health, now) == "half_open" and health.prober:
        times.append(health.probe_until)
    return max((time for time in times if time is not None and time > now), default=None)


def failed(health: Health, policy: BreakerPolicy, now: datetime, who: str, code: str, *, certain: bool) -> Health:
    """Return the health after a call failed, or took too long.

    Args:
        health: Before it.
        policy: When the breaker opens.
        now: When it failed.
        who: Who made the call.
        code: Why it failed.
        certain: Whether the next call would surely fail, too, as with a wrong key: then the breaker opens at once.
    """
    if health.open_until is not None:
        # Of calls that were under way when it opened only the probe's own tells anything new.
        return _opened(health, policy, now, code) if health.prober == who else health
    in_a_row = health.failed_at is not None and now - health.failed_at <= policy.within
    after = replace(health, failures=health.failures + 1 if in_a_row else 1, failed_at=now, code=code)
    return _opened(after, policy, now, code) if certain or after.failures >= policy.failures else after


def succeeded(health: Health, who: str) -> Health:
    """Return the health after a call was answered; of an open breaker only the probe's answer closes it."""
    if health.open_until is not None and health.prober != who:
        return health
    return Health(throttled_until=health.throttled_until)


def throttled(health: Health, policy: BreakerPolicy, now: datetime, who: str, retry_after_s: float | None) -> Health:
    """Return the health after the deployment said that it takes no more calls for so many seconds.

    It keeps its state: who is busy has answered. The probe's right ends, so that the next call is one again.
    """
    wait = policy.throttled_for if retry_after_s is None else timedelta(seconds=min(retry_after_s, 86_400.0))
    until = now + min(wait, policy.throttled_at_most)
    known = health.throttled_until
    # Many workers hear of it at once; what differs by less than a second is not worth a write each.
    later = known is None or until - known >= timedelta(seconds=1)
    after = replace(health, throttled_until=until) if later else health
    return replace(after, prober="", probe_until=None) if health.prober == who else after


def probing(health: Health, policy: BreakerPolicy, now: datetime, who: str) -> Health | None:
    """Return the health in which `who` makes the half-open breaker's one call; None where that may not be."""
    if state(health, now) != "half_open" or free_at(health, now) is not None:
        return None
    return replace(health, prober=who, probe_until=now + policy.probe_lasts)


def let_go(health: Health, who: str) -> Health:
    """Return the health after a probe ended without telling anything, as when its run was cancelled."""
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
