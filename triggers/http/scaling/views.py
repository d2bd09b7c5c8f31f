"""What the API takes and answers of scaling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from llmops.capacity.scaling import ScalingPolicy, Trigger
from triggers.http.views import Body, View

if TYPE_CHECKING:
    from llmops.capacity.scaling import Recommendation, SiteScale

Instances = Annotated[int, Field(ge=0, le=1000)]
Part = Annotated[float, Field(gt=0, le=1)]
TriggerMetric = Literal["memory_share", "cpu_share", "pool_used_share", "pool_waiting"]


class TriggerBody(Body):
    """When there is to be an instance more or less than the forecast says.

    Attributes:
        metric: What is measured; pool_waiting is the number of what waits for room in pools.
        condition: How it is compared.
        threshold: With what.
        duration_s: For how long that must hold, looked at once a minute.
        action: What follows.
        priority: Of several that hold, the highest counts.
    """

    metric: TriggerMetric
    condition: Literal["gt", "gte", "lt", "lte"]
    threshold: Annotated[float, Field(ge=0, le=1_000_000)]
    duration_s: Annotated[float, Field(ge=0, le=86_400)] = 60
    action: Literal["scale_up", "scale_down"] = "scale_up"
    priority: Annotated[int, Field(ge=0, le=1000)] = 1


class ScalingPolicyBody(Body):
    """How the app is to be scaled.

    Attributes:
        min_instances: Instances that carry out runs and are always ready.
        max_instances: Most that are asked for.
        concurrency: Runs that one instance carries out at a time: at most maxConcurrentSessions of host.json.
        up: The share of the slots that is to be in use at a peak.
        down: The share of what is always ready below which there is less.
        cooldown_s: How long nothing is changed after a change.
        predictive: Whether for the coming day by forecast, or for what the last hour brought.
        triggers: What else there is to look at.
        http_concurrency: HTTP requests that an instance is to take at a time; left out, it stays as it is.
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
    """When there is to be an instance more or less than the forecast says."""

    metric: TriggerMetric
    condition: Literal["gt", "gte", "lt", "lte"]
    threshold: float
    duration_s: float
    action: Literal["scale_up", "scale_down"]
    priority: int


class ScalingPolicyView(View):
    """How the app is to be scaled."""

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
    """How an app is scaled: instances that are always ready by group, the most of all, and HTTP requests for each."""

    always_ready: Mapping[str, int]
    maximum_instances: int
    http_concurrency: int | None
    memory_mb: int


class ForecastHourView(View):
    """The runs that an hour is expected to bring."""

    start: datetime
    runs: float


class LoadForecastView(View):
    """What the coming day brings: the mean of the same hour of up to four weeks before.

    `error` is how wrong the same method was about the last week, as a share of what came; null without two weeks.
    """

    hours: Sequence[ForecastHourView]
    peak: float
    error: float | None
    weeks: int


class RecommendationView(View):
    """How many instances there should be, and what that rests on: L = λW, runs a second times seconds a run.

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
    """Which recommendation to apply.

    Attributes:
        id: Its id, as GET scaling/recommendation said it.
    """

    id: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class ScalingAppliedView(View):
    """How the app was scaled, and how it is."""

    before: SiteScaleView
    after: SiteScaleView
