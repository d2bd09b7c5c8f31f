"""Decides whether a part of the system is healthy, degraded or critical. Pure rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from kernel.clock import rfc3339
from kernel.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from kernel.timer_status import TimerStatus
    from lifecycle.runs.failed_runs import DeadLetter
    from llmops.facts.performance_summary import PerformanceSummary

_NEWS = timedelta(days=1)


class Health(StrEnum):
    """Health of the system or a part."""

    HEALTHY = "healthy"  # nothing to do
    DEGRADED = "degraded"  # works, but needs attention
    CRITICAL = "critical"  # does not work


_ORDER = (Health.HEALTHY, Health.DEGRADED, Health.CRITICAL)
_FAILURES_SHOWN = 3
_FAILING_SHARE = 0.2
_FEW = 5
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the system, its health, and the reason; empty when it is healthy."""

    name: str
    health: Health
    reason: str = ""


def overall(components: Sequence[Component]) -> Health:
    """Return the worst health of any part."""
    return max((component.health for component in components), key=_ORDER.index, default=Health.HEALTHY)


def letters(found: Sequence[DeadLetter], now: datetime, *, more: bool) -> Component:
    """Return the health by the workspace's dead letters.

    Invalid messages count for a day only: their producer has to fix them, and nothing here removes them.
    """
    count = sum(letter.redrivable or letter.enqueued_at + _NEWS > now for letter in found)
    if not count:
        return Component("dead_letters", Health.HEALTHY)
    number = f"{'at least ' if more else ''}{count} {'message' if count == 1 else 'messages'}"
    return Component("dead_letters", Health.DEGRADED, f"{number} could not be processed; see GET dead-letters")


def timers(beats: Sequence[TimerStatus], now: datetime) -> Component:
    """Return the health of the timers: each should have succeeded when it was last due."""
    wrong = [_timer(beat) for beat in beats if beat.failing or beat.overdue(now)]
    return Component("timers", Health.DEGRADED if wrong else Health.HEALTHY, "; ".join(wrong))


def agents(states: Mapping[str, int]) -> Component:
    """Return the health of the registry by the number of agents in each state."""
    failed = states.get("failed", 0)
    if not failed:
        return Component("agents", Health.HEALTHY)
    return Component("agents", Health.DEGRADED, f"{failed} could not be made at their provider; see GET agents")


def providers(recent: PerformanceSummary) -> Component:
    """Return the health of the model providers by the attempts of the last minutes."""
    codes = _provider_codes(recent)
    failures = sum(codes.values())
    if few_failures(recent) or failures < _FAILING_SHARE * max(1, recent.attempts):
        return Component("providers", Health.HEALTHY)
    summary = ", ".join(f"{count} {code}" for code, count in sorted(codes.items()))
    unanswered = recent.succeeded == 0 and failures >= _FEW
    return Component("providers", Health.CRITICAL if unanswered else Health.DEGRADED, f"attempts failed: {summary}")


def few_failures(summary: PerformanceSummary) -> bool:
    """Return whether providers failed too few of these attempts, and so too few of any part of them, to be unwell."""
    return sum(_provider_codes(summary).values()) < _FAILURES_SHOWN


def stored(skipped: Mapping[str, int]) -> Component:
    """Return the health of stored data by the number of rows that this worker could not read."""
    counts = ", ".join(f"{kind}: {count}" for kind, count in sorted(skipped.items()))
    if not counts:
        return Component("stored_values", Health.HEALTHY)
    return Component("stored_values", Health.DEGRADED, f"rows that could not be read are left out; {counts}")


def extensions(problems: Sequence[str]) -> Component:
    """Return the health of this worker's extensions by the problems with them."""
    if not problems:
        return Component("extensions", Health.HEALTHY)
    return Component("extensions", Health.DEGRADED, "; ".join(problems))


def prices(unpriced: int, unmetered: int) -> Component:
    """Return the health of pricing by today's calls without a known price or without usable usage."""
    wrong = [f"{unpriced} model calls of today have no known price"] if unpriced else []
    if unmetered:
        wrong.append(f"{unmetered} were answered without a usable usage and stand at an estimate")
    return Component("prices", Health.DEGRADED if wrong else Health.HEALTHY, "; ".join(wrong))


def alerts(misconfigured: Sequence[str]) -> Component:
    """Return the health of alert rules by the names of those whose agent or channel does not exist."""
    if not misconfigured:
        return Component("alerts", Health.HEALTHY)
    shown = ", ".join(misconfigured[:_NAMED]) + (", …" if len(misconfigured) > _NAMED else "")
    return Component("alerts", Health.DEGRADED, f"rules name what is not there: {shown}; see GET alerts")


def _timer(beat: TimerStatus) -> str:
    last = f"last succeeded at {rfc3339(beat.succeeded_at)}" if beat.succeeded_at else "has never succeeded"
    return f"{beat.timer} {last}" + (f", failed with {beat.failure}" if beat.failing else "")


def _provider_codes(summary: PerformanceSummary) -> Mapping[str, int]:
    return {code: count for code, count in summary.codes.items() if code.startswith("provider_")}
