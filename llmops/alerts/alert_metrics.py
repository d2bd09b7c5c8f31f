"""The metrics that alert rules can use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

from kernel.lazy_dataclass import dataclass
from kernel.money import MICRO_USD_PER_USD
from llmops.facts.performance_summary import PerformanceSummary

OutcomeMetric = Literal[
    "latency_mean_ms",
    "latency_p50_ms",
    "latency_p95_ms",
    "latency_p99_ms",
    "model_p95_ms",
    "queue_p95_ms",
    "error_rate",
    "retry_rate",
    "availability",
    "quality",
    "runs_per_minute",
    "runs",
    "failed_runs",
    "dead_letters",
    "budget_blocks",
    "tokens",
    "cost_usd",
    "cost_per_run_usd",
    "wasted_share",
    "unpriced_calls",
    "unmetered_calls",
]
LedgerMetric = Literal["cost_today_usd"]
RegistryMetric = Literal[
    "versions_created",
    "create_failures",
    "delete_failures",
    "drift",
    "leaks",
]
LoaderMetric = Literal["cache_hit_rate", "cache_hit_rate_fall"]
TeamMetric = Literal["handoffs", "handoffs_returned_share", "escalations", "person_answer_s"]
CurrentMetric = Literal[
    "sessions_open",
    "runs_running",
    "runs_waiting",
    "runs_held",
    "longest_wait_s",
    "conversations_waiting",
    "person_wait_s",
    "conversations_waiting_for_member",
    "approvals_pending",
    "approval_wait_s",
    "agents",
    "agents_registered",
    "agents_provisioning",
    "agents_active",
    "agents_idle",
    "agents_disabled",
    "agents_failed",
    "budget_used_share",
    "timers_failing",
    "memory_share",
    "cpu_share",
    "pool_used_share",
]
Metric = Literal[OutcomeMetric, LedgerMetric, RegistryMetric, LoaderMetric, TeamMetric, CurrentMetric]

FROM_LEDGER: frozenset[Metric] = frozenset(get_args(LedgerMetric))
"""Metrics read from the cost sums of the UTC day; the window of a rule has no effect on them."""

FROM_REGISTRY: frozenset[Metric] = frozenset(get_args(RegistryMetric))
"""Metrics of the workspace's agents at their providers, by the hour."""

OF_LOADER: frozenset[Metric] = frozenset(get_args(LoaderMetric))
"""Metrics of the workers' look-ups of agents."""

NOW: frozenset[Metric] = frozenset(get_args(CurrentMetric))
"""Metrics of the workspace's present state; the window of a rule has no effect on them."""

OF_TEAMS: frozenset[Metric] = frozenset(get_args(TeamMetric))
"""Metrics of handoffs between team members in the window, and of how long people took to answer."""

WHOLE_WORKSPACE = FROM_REGISTRY | OF_LOADER | OF_TEAMS | NOW
"""Metrics of the whole workspace; a rule on one of them cannot name an agent."""


@dataclass(frozen=True, slots=True)
class Figure:
    """How a metric is computed and formatted.

    Attributes:
        words: Name of the metric for people.
        read: Returns the metric from a window's summary and the window's length in seconds, or None without data; None
            for metrics that are not computed from attempts.
        unit: `ms`, `s`, `usd`, `share` (0-1), `points`, or empty for a plain number.
        rests_on_runs: Whether the metric has no value without runs. A count has one: 0.
    """

    words: str
    read: Callable[[PerformanceSummary, float], float | None] | None
    unit: Literal["ms", "s", "usd", "share", "points", ""] = ""
    rests_on_runs: bool = False


def _quantile(share: float) -> Callable[[PerformanceSummary, float], float | None]:
    return lambda summary, _: summary.latency.quantile(share)


def _usd(micro_usd: float | None) -> float | None:
    return None if micro_usd is None else micro_usd / MICRO_USD_PER_USD


FIGURES: Mapping[Metric, Figure] = {
    "latency_mean_ms": Figure("mean latency", lambda s, _: s.latency.mean, "ms", rests_on_runs=True),
    "latency_p50_ms": Figure("median latency", _quantile(0.5), "ms", rests_on_runs=True),
    "latency_p95_ms": Figure("p95 latency", _quantile(0.95), "ms", rests_on_runs=True),
    "latency_p99_ms": Figure("p99 latency", _quantile(0.99), "ms", rests_on_runs=True),
    "model_p95_ms": Figure("p95 time of model calls", lambda s, _: s.model.quantile(0.95), "ms", rests_on_runs=True),
    "queue_p95_ms": Figure("p95 wait in the queue", lambda s, _: s.queue.quantile(0.95), "ms", rests_on_runs=True),
    "error_rate": Figure("share of failed runs", lambda s, _: s.error_rate, "share", rests_on_runs=True),
    "retry_rate": Figure("share of retried attempts", lambda s, _: s.retry_rate, "share", rests_on_runs=True),
    "availability": Figure("share of answered runs", lambda s, _: s.availability, "share", rests_on_runs=True),
    "quality": Figure("mean quality score", lambda s, _: s.quality, "points", rests_on_runs=True),
    "runs_per_minute": Figure("runs a minute", lambda s, window_s: s.runs * 60 / window_s),
    "runs": Figure("runs", lambda s, _: float(s.runs)),
    "failed_runs": Figure("failed runs", lambda s, _: float(s.failed)),
    "dead_letters": Figure("dead letters", lambda s, _: float(s.dead)),
    "budget_blocks": Figure("runs stopped by a budget", lambda s, _: float(s.paused)),
    "tokens": Figure("tokens", lambda s, _: float(s.tokens)),
    "cost_usd": Figure("spend", lambda s, _: _usd(s.spend.cost_micro_usd), "usd"),
    "cost_per_run_usd": Figure("cost a run", lambda s, _: _usd(s.cost_per_run), "usd", rests_on_runs=True),
    "wasted_share": Figure("share of the spend without an answer", lambda s, _: s.wasted_share, "share"),
    "unpriced_calls": Figure("model calls without a known price", lambda s, _: float(s.spend.unpriced_calls)),
    "unmetered_calls": Figure("model calls without a usable usage", lambda s, _: float(s.spend.unmetered_calls)),
    "cost_today_usd": Figure("spend of the day", lambda s, _: _usd(s.spend.cost_micro_usd), "usd"),
    "versions_created": Figure("versions made at providers", None),
    "create_failures": Figure("failures to make a version", None),
    "delete_failures": Figure("failures to delete a version", None),
    "drift": Figure("differences between registry and providers", None),
    "leaks": Figure("versions at providers that nobody needs", None),
    "sessions_open": Figure("open sessions", None),
    "runs_running": Figure("running runs", None),
    "runs_waiting": Figure("runs that wait", None),
    "runs_held": Figure("waiting runs that their session keeps", None),
    "longest_wait_s": Figure("longest wait for a budget or an approval", None, "s"),
    "conversations_waiting": Figure("conversations that wait for a person", None),
    "person_wait_s": Figure("longest wait for a person", None, "s"),
    "conversations_waiting_for_member": Figure("conversations for which no member of a team is free", None),
    "handoffs": Figure("handoffs", None),
    "handoffs_returned_share": Figure("share of handoffs that came straight back", None, "share"),
    "escalations": Figure("conversations that nobody took in time", None),
    "person_answer_s": Figure("mean wait for a person's answer", None, "s"),
    "agents": Figure("agents", None),
    "agents_registered": Figure("agents declared and not made", None),
    "agents_provisioning": Figure("agents being made", None),
    "agents_active": Figure("active agents", None),
    "agents_idle": Figure("retired agents", None),
    "agents_disabled": Figure("agents switched off", None),
    "agents_failed": Figure("agents that could not be made", None),
    "budget_used_share": Figure("used share of the budget nearest to its limit", None, "share"),
    "timers_failing": Figure("timers that fail or are late", None),
    "approvals_pending": Figure("approvals that wait for a decision", None),
    "approval_wait_s": Figure("seconds that an approval has waited", None),
    "cache_hit_rate": Figure("share of look-ups of agents that found them ready", None, "share"),
    "cache_hit_rate_fall": Figure("fall of that share, against the day before", None, "share"),
    "memory_share": Figure("used memory of the worker that uses most", None, "share"),
    "cpu_share": Figure("used CPU of the worker that uses most", None, "share"),
    "pool_used_share": Figure("used share of the pool nearest to a limit", None, "share"),
}


def value_of(metric: Metric, summary: PerformanceSummary, window_s: float, min_runs: int) -> float | None:
    """Return the metric of a window; None where there are too few data.

    Args:
        metric: The metric.
        summary: The attempts that ended in the window.
        window_s: Length of the window in seconds.
        min_runs: Fewest runs in the window for a metric with `rests_on_runs` to have a value.
    """
    figure = FIGURES[metric]
    if figure.read is None or (figure.rests_on_runs and summary.runs < min_runs):
        return None
    return figure.read(summary, window_s)


def written(metric: Metric, value: float | None) -> str:
    """Return the value formatted for people, with its unit."""
    if value is None:
        return "no data"
    match FIGURES[metric].unit:
        case "ms":
            return f"{value / 1000:.2f} s"
        case "s":
            return f"{value:.0f} s"
        case "usd":
            return f"${value:.4f}"
        case "share":
            return f"{value:.1%}"
        case "points":
            return f"{value:.0f} of 100"
        case _:
            return f"{value:g}"
