"""Insights: what stands out in an agent's figures, each with a cause and a recommendation.

All thresholds are defined here. A rule without enough data finds nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass
from kernel.money import format_usd
from llmops.facts.performance_summary import PerformanceSummary
from llmops.notifications.notification import Severity
from llmops.performance.monitor import Performance
from llmops.spend.costs import add_up
from llmops.spend.usage import Spend

if TYPE_CHECKING:
    from kernel.clock import Clock
    from llmops.performance.monitor import PerformanceReader, VersionPerformance
    from llmops.performance.sla import SlaTarget
    from llmops.reports.daily import DailyCosts

MIN_RUNS = 20
"""Fewest runs, on each side of a comparison, for a rule."""
SLOWER, DEARER = 1.5, 1.5
"""Growth factor of p95 latency or cost per run against the previous version."""
MORE_RETRIES = 0.2
"""Growth of the share of retried attempts, in shares of 1."""
ERRORS = 0.05
"""Share of failed runs."""
SAME_CAUSE = 0.5
"""Least share of the failures with the same error code."""
WASTED = 0.2
"""Share of the spend without an answer."""
CACHE_FELL = 0.2
"""Fall of the share of cached input tokens, in shares of 1."""
MIN_TOKENS = 10_000
"""Fewest input tokens, on each side of a comparison, for the rule about the cache."""
ONE_USER, MIN_USERS = 0.6, 2
"""Share of the spend by one user, and fewest users for the rule."""
QUEUED, MIN_QUEUE_MS = 0.5, 2_000
"""Share of the p95 latency spent waiting in the queue, and the least of it in ms."""
WORSE = 10.0
"""Fall of the mean quality score, in points."""

_CURES: Mapping[str, str] = {
    "provider_throttled": "Raise the deployment's quota, or spread the agent over another deployment.",
    "provider_unavailable": "Look at the provider's status; consider another region or deployment.",
    "provider_rejected": "Read a failed run: the request itself is refused, often for a parameter or model name.",
    "content_filter": "Look at what users ask; adjust the instructions or the deployment's content filter.",
    "run_timeout": "Shorten what the agent does in a run, or raise RUN_TIMEOUT_S together with the host's limits.",
    "worker_lost": "Look at the host's log for crashes and at its memory; a run takes the worker down with it.",
}


@dataclass(frozen=True, slots=True)
class Insight:
    """A finding about an agent.

    Attributes:
        code: The rule.
        severity: Severity.
        cause: What the figures show.
        recommendation: What to do.
        figures: The figures; times in ms, money in micro-USD, shares 0-1.
    """

    code: str
    severity: Severity
    cause: str
    recommendation: str
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class InsightInput:
    """The input of the rules: an agent's performance, that of the days before, and its spend by user."""

    performance: Performance
    before: PerformanceSummary
    users: Mapping[str, Spend]


class Insights:
    """Reads the input of the rules."""

    def __init__(self, monitor: PerformanceReader, costs: DailyCosts, clock: Clock) -> None:
        self._monitor = monitor
        self._costs = costs
        self._clock = clock

    async def facts(self, workspace: str, agent: str, first: date, last: date, target: SlaTarget) -> InsightInput:
        """Return the input for an agent from the first to the last UTC day, up to now."""
        performance, before, sums = await asyncio.gather(
            self._monitor.agent(workspace, agent, first, last, target),
            self._monitor.before(workspace, agent, first, last),
            self._costs.sums(workspace, first, last, self._clock().date()),
        )
        spent = [item for groups in sums.values() for item in groups.items()]
        users = add_up((group.user_id, spend) for group, spend in spent if group.agent == agent)
        return InsightInput(performance, before, users)


def insights_of(facts: InsightInput) -> Sequence[Insight]:
    """Return the insights of all rules, most severe first."""
    found = [insight for rule in _RULES for insight in rule(facts)]
    order: Sequence[Severity] = ("critical", "warning", "info")
    return sorted(found, key=lambda insight: order.index(insight.severity))


def _pairs(facts: InsightInput) -> Iterator[tuple[VersionPerformance, VersionPerformance]]:
    """Yield each version that has enough runs, with the previous one that has."""
    known = [each for each in facts.performance.versions if each.version and each.summary.runs >= MIN_RUNS]
    return pairwise(known)


def _slower(facts: InsightInput) -> Iterator[Insight]:
    for before, after in _pairs(facts):
        was, now = before.summary.latency.quantile(0.95), after.summary.latency.quantile(0.95)
        if was and now and now >= SLOWER * was:
            rise = now - was
            model_was, model_now = (each.summary.model.quantile(0.95) or 0 for each in (before, after))
            yield Insight(
                "slower_since_version",
                "warning",
                f"p95 latency is {now / was:.1f} times as long since version {after.version}: "
                f"{now / 1000:.1f} s, {was / 1000:.1f} s before.",
                _why_slower(before.summary, after.summary, rise),
                {"p95_ms": now, "p95_before_ms": was, "model_p95_ms": model_now, "model_p95_before_ms": model_was},
            )


def _why_slower(before: PerformanceSummary, after: PerformanceSummary, rise: float) -> str:
    """Return the cause that explains at least half of the rise, or the likeliest, and what to do about it."""
    model, queue = (
        (now.quantile(0.95) or 0) - (was.quantile(0.95) or 0)
        for was, now in ((before.model, after.model), (before.queue, after.queue))
    )
    if model >= rise / 2:
        return "Its model calls take longer: compare model, instructions and tools of the two versions."
    if (after.retry_rate or 0) - (before.retry_rate or 0) >= MORE_RETRIES:
        code = _commonest(after)
        return f"More attempts are retried, most for {code}. {_cure(code)}"
    if queue >= rise / 2:
        return "Runs wait longer before they are begun: let the app scale out further."
    return "Its model calls do not explain it: look at its tools, and at the traces of slow runs."


def _dearer(facts: InsightInput) -> Iterator[Insight]:
    for before, after in _pairs(facts):
        was, now = before.summary.cost_per_run, after.summary.cost_per_run
        if was and now and now >= DEARER * was:
            yield Insight(
                "dearer_since_version",
                "warning",
                f"A run costs {now / was:.1f} times as much since version {after.version}: "
                f"{format_usd(round(now))}, {format_usd(round(was))} before.",
                "Compare model, instructions and tools of the two versions; every call pays for longer instructions.",
                {"cost_per_run": now, "cost_per_run_before": was},
            )


def _worse(facts: InsightInput) -> Iterator[Insight]:
    for before, after in _pairs(facts):
        was, now = before.summary.quality, after.summary.quality
        enough = min(before.summary.scored, after.summary.scored) >= MIN_RUNS
        if enough and was is not None and now is not None and was - now >= WORSE:
            yield Insight(
                "worse_since_version",
                "warning",
                f"Quality fell from {was:.0f} to {now:.0f} of 100 with version {after.version}.",
                "Look at the parts of the score that fell, and go back to the version before if they matter.",
                {"quality": now, "quality_before": was},
            )


def _failing(facts: InsightInput) -> Iterator[Insight]:
    summary = facts.performance.summary
    rate = summary.error_rate
    if rate is None or summary.runs < MIN_RUNS or rate < ERRORS:
        return
    failures = sum(summary.codes.values())
    code = _commonest(summary)
    count = summary.codes.get(code, 0)
    cause, cure = f"{rate:.0%} of the runs fail.", "Look at the codes of failed runs; no single cause stands out."
    if failures and count >= SAME_CAUSE * failures:
        cause = f"{rate:.0%} of the runs fail; {count / failures:.0%} of the failures are {code}."
        cure = _cure(code)
    yield Insight("failing", "critical", cause, cure, {"error_rate": rate, "runs": float(summary.runs)})


def _wasted(facts: InsightInput) -> Iterator[Insight]:
    summary = facts.performance.summary
    share = summary.wasted_share
    if share is not None and summary.runs >= MIN_RUNS and share >= WASTED:
        code = _commonest(summary)
        cure = _cure(code) if code else "Look at the traces of runs with several attempts: workers may be dying."
        most = f" Most attempts fail with {code}." if code else ""
        yield Insight(
            "retries_cost",
            "warning",
            f"{share:.0%} of the spend is retries and failed runs: {format_usd(summary.wasted)}.{most}",
            cure,
            {"wasted_share": share, "wasted": float(summary.wasted)},
        )


def _cache(facts: InsightInput) -> Iterator[Insight]:
    was, now = facts.before, facts.performance.summary
    enough = min(was.spend.input_tokens, now.spend.input_tokens) >= MIN_TOKENS
    share_was, share_now = was.cached_share, now.cached_share
    if enough and share_was is not None and share_now is not None and share_was - share_now >= CACHE_FELL:
        yield Insight(
            "cache_fell",
            "warning",
            f"{share_now:.0%} of the input tokens come from the provider's cache, {share_was:.0%} in the days before.",
            "Keep what is the same in every call (instructions, tools) at the front and unchanged, times left out.",
            {"cached_share": share_now, "cached_share_before": share_was},
        )


def _one_user(facts: InsightInput) -> Iterator[Insight]:
    users = {user: spend.cost_micro_usd for user, spend in facts.users.items() if spend.cost_micro_usd > 0}
    spent = sum(users.values())
    if len(users) < MIN_USERS or facts.performance.summary.runs < MIN_RUNS:
        return
    user, cost = max(users.items(), key=lambda item: (item[1], item[0]))
    if user and cost >= ONE_USER * spent:
        yield Insight(
            "one_user",
            "info",
            f"One user, {user}, is {cost / spent:.0%} of the spend; there are {len(users)}.",
            "Set a budget for users, so that one cannot use up what is meant for all.",
            {"share": cost / spent, "cost": float(cost), "users": float(len(users))},
        )


def _queued(facts: InsightInput) -> Iterator[Insight]:
    summary = facts.performance.summary
    queue, latency = summary.queue.quantile(0.95), summary.latency.quantile(0.95)
    enough = summary.runs >= MIN_RUNS and queue is not None and queue >= MIN_QUEUE_MS
    if enough and queue is not None and latency and queue >= QUEUED * latency:
        yield Insight(
            "queued",
            "warning",
            f"Runs wait up to {queue / 1000:.1f} s (p95) before they are begun, of {latency / 1000:.1f} s in all.",
            "Let the app scale out further, raise maxConcurrentSessions, or keep an instance always ready.",
            {"queue_p95_ms": queue, "p95_ms": latency},
        )


def _uncounted(facts: InsightInput) -> Iterator[Insight]:
    spend = facts.performance.summary.spend
    kinds = (
        ("unpriced", spend.unpriced_calls, "have no known price; their cost is in no sum", "Price the model."),
        (
            "unmetered",
            spend.unmetered_calls,
            "came without a usable usage and stand at an estimate",
            "Have the endpoint report its usage.",
        ),
    )
    for code, calls, what, cure in kinds:
        if calls:
            figures = {f"{code}_calls": float(calls), "calls": float(spend.calls)}
            yield Insight(code, "warning", f"{calls} of {spend.calls} model calls {what}.", cure, figures)


_RULES: Sequence[Callable[[InsightInput], Iterator[Insight]]] = (
    _failing,
    _slower,
    _worse,
    _dearer,
    _wasted,
    _cache,
    _queued,
    _uncounted,
    _one_user,
)


def _commonest(summary: PerformanceSummary) -> str:
    """Return the most frequent error code of the attempts; empty when none has one."""
    return max(summary.codes.items(), key=lambda item: (item[1], item[0]), default=("", 0))[0]


def _cure(code: str) -> str:
    return _CURES.get(code, f"Read the failure of a run that failed with {code}.")
