"""Response models of performance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from triggers.http.base_models import Page, View

if TYPE_CHECKING:
    from llmops.facts.performance_summary import PerformanceSummary
    from llmops.facts.quantile_sketch import Sketch
    from llmops.performance.insights import Insight
    from llmops.performance.monitor import Performance, Point
    from llmops.performance.sla import Attainment


class QuantilesView(View):
    """Mean and quantiles (50, 95 and 99 %) in ms, with a relative error of at most 2 %; null without values."""

    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None

    @classmethod
    def from_sketch(cls, sketch: Sketch) -> QuantilesView:
        """Return the view of a sketch."""
        p50, p95, p99 = (sketch.quantile(share) for share in (0.5, 0.95, 0.99))
        return cls(mean=_short(sketch.mean), p50=_short(p50), p95=_short(p95), p99=_short(p99))


class FiguresView(View):
    """Performance of some runs. Shares are 0-1, and null where undefined.

    `latency_ms` is the time from a run's acceptance to its answer, `model_ms` that of the attempt's model calls,
    `queue_ms` the wait for the first attempt. `cost_per_run_micro_usd` is also null when a call has no known price.
    `codes` counts failed attempts by error code.
    """

    runs: int
    succeeded: int
    failed: int
    cancelled: int
    retried_attempts: int
    dead_letters: int
    error_rate: float | None
    retry_rate: float | None
    latency_ms: QuantilesView
    model_ms: QuantilesView
    queue_ms: QuantilesView
    quality: float | None
    calls: int
    tokens: int
    cached_share: float | None
    cost_micro_usd: int
    cost_per_run_micro_usd: float | None
    wasted_micro_usd: int
    wasted_share: float | None
    unpriced_calls: int
    unmetered_calls: int
    codes: Mapping[str, int]

    @classmethod
    def from_summary(cls, summary: PerformanceSummary) -> FiguresView:
        """Return the view of a summary."""
        return cls(
            runs=summary.runs,
            succeeded=summary.succeeded,
            failed=summary.failed,
            cancelled=summary.cancelled,
            retried_attempts=summary.retried,
            dead_letters=summary.dead,
            error_rate=_short(summary.error_rate, 4),
            retry_rate=_short(summary.retry_rate, 4),
            latency_ms=QuantilesView.from_sketch(summary.latency),
            model_ms=QuantilesView.from_sketch(summary.model),
            queue_ms=QuantilesView.from_sketch(summary.queue),
            quality=_short(summary.quality),
            calls=summary.spend.calls,
            tokens=summary.tokens,
            cached_share=_short(summary.cached_share, 4),
            cost_micro_usd=summary.spend.cost_micro_usd,
            cost_per_run_micro_usd=_short(summary.cost_per_run),
            wasted_micro_usd=summary.wasted,
            wasted_share=_short(summary.wasted_share, 4),
            unpriced_calls=summary.spend.unpriced_calls,
            unmetered_calls=summary.spend.unmetered_calls,
            codes=summary.codes,
        )


class SlaView(View):
    """A service level, and whether it was met; null where there were no runs.

    It is met when the share `availability` of the runs was answered, and 95 % of the answers came within `latency_ms`.
    """

    target_latency_ms: int
    target_availability: float
    availability: float | None
    in_time: float | None
    kept: bool | None

    @classmethod
    def from_attainment(cls, attainment: Attainment) -> SlaView:
        """Return the view of an attainment."""
        return cls(
            target_latency_ms=attainment.target.latency_ms,
            target_availability=attainment.target.availability,
            availability=_short(attainment.availability, 4),
            in_time=_short(attainment.in_time, 4),
            kept=attainment.kept,
        )


class VersionFiguresView(View):
    """Performance of one version; `version` is empty for attempts that ended before they had one."""

    version: str
    since: datetime
    figures: FiguresView


class PointView(View):
    """Performance in the hour or day that begins with `start`."""

    start: datetime
    runs: int
    error_rate: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    quality: float | None
    cost_micro_usd: int

    @classmethod
    def from_point(cls, point: Point) -> PointView:
        """Return the view of a point."""
        summary = point.summary
        p50, p95, p99 = (summary.latency.quantile(share) for share in (0.5, 0.95, 0.99))
        return cls(
            start=point.start,
            runs=summary.runs,
            error_rate=_short(summary.error_rate, 4),
            p50_ms=_short(p50),
            p95_ms=_short(p95),
            p99_ms=_short(p99),
            quality=_short(summary.quality),
            cost_micro_usd=summary.spend.cost_micro_usd,
        )


class PerformanceView(View):
    """Performance of an agent from the first to the last UTC day: in total, by version and over time."""

    agent: str
    first: date
    last: date
    runs_per_hour: float
    figures: FiguresView
    sla: SlaView
    versions: Sequence[VersionFiguresView]
    trend: Sequence[PointView]

    @classmethod
    def from_performance(cls, performance: Performance, hours: float) -> PerformanceView:
        """Return the view of an agent's performance over so many hours."""
        return cls(
            agent=performance.agent,
            first=performance.first,
            last=performance.last,
            runs_per_hour=round(performance.summary.runs / hours, 2),
            figures=FiguresView.from_summary(performance.summary),
            sla=SlaView.from_attainment(performance.sla),
            versions=[
                VersionFiguresView(
                    version=each.version, since=each.since, figures=FiguresView.from_summary(each.summary)
                )
                for each in performance.versions
            ],
            trend=[PointView.from_point(point) for point in performance.trend],
        )


class AgentFiguresView(View):
    """Performance of an agent."""

    agent: str
    figures: FiguresView


class InsightView(View):
    """An insight about an agent: the rule, what the figures show, and a recommendation."""

    code: str
    severity: str
    cause: str
    recommendation: str
    figures: Mapping[str, float]


class InsightsView(View):
    """Insights about an agent, most severe first; empty where there is too little data."""

    agent: str
    first: date
    last: date
    items: Sequence[InsightView]

    @classmethod
    def from_insights(cls, agent: str, first: date, last: date, insights: Sequence[Insight]) -> InsightsView:
        """Return the view of insights."""
        return cls(agent=agent, first=first, last=last, items=[InsightView.of(each) for each in insights])


def _short(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)


class PerformancePage(Page[AgentFiguresView]):
    """Agents by name, with their performance."""
