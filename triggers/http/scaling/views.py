"""Request and response models of scaling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from llmops.capacity.scaling_forecast import ScalingPolicy, Trigger
from triggers.http.base_models import Body, View

if TYPE_CHECKING:
    from llmops.capacity.scaling_forecast import Recommendation, SiteScale

Instances = Annotated[int, Field(ge=0, le=1000)]
Part = Annotated[float, Field(gt=0, le=1)]
TriggerMetric = Literal["memory_share", "cpu_share", "pool_used_share", "pool_waiting"]


class TriggerBody(Body):
    """A rule that asks for one instance more or less than the forecast.

    Attributes:
        metric: The metric; pool_waiting is the number of requests waiting for capacity in pools.
        condition: How the metric compares with the threshold.
        threshold: The threshold.
        duration_s: How long the condition must hold, in seconds; checked once a minute.
        action: The change to make.
        priority: Where several rules hold, the one with the highest priority counts.
    """

    metric: TriggerMetric
    condition: Literal["gt", "gte", "lt", "lte"]
    threshold: Annotated[float, Field(ge=0, le=1_000_000)]
    duration_s: Annotated[float, Field(ge=0, le=86_400)] = 60
    action: Literal["scale_up", "scale_down"] = "scale_up"
    priority: Annotated[int, Field(ge=0, le=1000)] = 1


class ScalingPolicyBody(Body):
    """The scaling policy.

    Attributes:
        min_instances: Instances for runs that are always ready.
        max_instances: Most instances recommended.
        concurrency: Concurrent runs per instance, at most maxConcurrentSessions of host.json.
        up: Target utilisation of the slots at a peak, 0-1.
        down: Utilisation of always-ready instances below which there are to be fewer, 0-1.
        cooldown_s: Shortest time between two changes, in seconds.
        predictive: Whether to plan for the forecast of the coming day; else for the load of the last hour.
        triggers: Further rules.
        http_concurrency: Concurrent HTTP requests per instance; left out, it is unchanged.
    """

    min_instances: Instances = 2
    max_instances: Annotated[int, Field(ge=1, le=1000)] = 10
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 32
    up: Part = 0.8
    down: Part = 0.3
    cooldown_s: Annotated[float, Field(ge=0, le=86_400)] = 300
    predictive: bool = True
    triggers: Annotated[tuple[TriggerBody, ...], Field(max_length=20)] = ()
    http_concurrency: Annotated[int, Field(ge=1, le=1000)] | None = None

    def policy(self) -> ScalingPolicy:
        """Return the policy."""
        values = self.model_dump(exclude={"triggers"})
        return ScalingPolicy(**values, triggers=tuple(Trigger(**one.model_dump()) for one in self.triggers))


class TriggerView(View):
    """A rule that asks for one instance more or less than the forecast."""

    metric: TriggerMetric
    condition: Literal["gt", "gte", "lt", "lte"]
    threshold: float
    duration_s: float
    action: Literal["scale_up", "scale_down"]
    priority: int


class ScalingPolicyView(View):
    """The scaling policy."""

    min_instances: int
    max_instances: int
    concurrency: int
    up: float
    down: float
    cooldown_s: float
    predictive: bool
    triggers: Sequence[TriggerView]
    http_concurrency: int | None


class SiteScaleView(View):
    """The scale of the app: always-ready instances by group, most instances, and concurrent HTTP requests of each."""

    always_ready: Mapping[str, int]
    maximum_instances: int
    http_concurrency: int | None
    memory_mb: int


class ForecastHourView(View):
    """The runs expected in an hour."""

    start: datetime
    runs: float


class LoadForecastView(View):
    """The forecast load of the coming day: the mean of the same hour of the week over up to four weeks.

    `error` is that of the same method over the last week, as a share of the load; null with less than two weeks of
    data.
    """

    hours: Sequence[ForecastHourView]
    peak: float
    error: float | None
    weeks: int


class RecommendationView(View):
    """The recommended number of instances and its reasons, by Little's law: runs per second times seconds per run.

    `current` is null where the app may not be asked; `held` says why nothing is to be changed now, empty where it may.
    """

    id: str
    arrivals_per_s: float
    service_s: float
    at_a_time: float
    instances: int
    always_ready: int
    held: str
    reasons: Sequence[str]
    forecast: LoadForecastView
    current: SiteScaleView | None
    scale: SiteScaleView
    commands: Sequence[str]

    @classmethod
    def from_plan(cls, plan: Recommendation, current: SiteScale | None, commands: Sequence[str]) -> RecommendationView:
        """Return the view of a recommendation."""
        expected = plan.forecast
        hours = [ForecastHourView(start=hour, runs=round(runs, 2)) for hour, runs in expected.hours]
        error = None if expected.error is None else round(expected.error, 4)
        return cls.of(
            plan,
            arrivals_per_s=round(plan.arrivals_per_s, 4),
            service_s=round(plan.service_s, 3),
            at_a_time=round(plan.at_a_time, 3),
            forecast=LoadForecastView(hours=hours, peak=round(expected.peak, 2), error=error, weeks=expected.weeks),
            current=SiteScaleView.of(current) if current else None,
            scale=SiteScaleView.of(plan.scale),
            commands=commands,
        )


class ScalingApplyBody(Body):
    """The recommendation to apply.

    Attributes:
        id: Its id, from GET scaling/recommendation.
    """

    id: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class ScalingAppliedView(View):
    """The scale of the app before and after."""

    before: SiteScaleView
    after: SiteScaleView
