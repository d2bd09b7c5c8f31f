"""Request and response models of savings and what-if."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, StrictBool, StringConstraints, model_validator

from kernel.ids import MODEL_NAME
from llmops.optimization.proposals import MEASURED_AFTER, ProposalKind, Risk, calls_of
from llmops.optimization.what_if import Period, Unit
from llmops.spend.pricing import Rate, Rates
from triggers.http.base_models import Body, Page, View

if TYPE_CHECKING:
    from lifecycle.optimization.what_if_replay import Replayed
    from llmops.optimization.proposals import Measured, Optimization, OptimizationRequest, Proposal

AgentName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$")]
ModelName = Annotated[str, StringConstraints(pattern=f"^{MODEL_NAME}$")]
Usd = Annotated[Decimal, Field(ge=0, le=1_000_000, max_digits=18, decimal_places=9)]
Days = Annotated[int, Field(ge=1, le=90)]


class OptimizationBody(Body):
    """A request for savings proposals.

    Attributes:
        agent: The agent; default all.
        pool: Only agents of this pool; not with `agent`.
        days: Days of facts to use, including today.
        target_cost_reduction: By how many percent to lower the spending; default as much as possible.
        preserve_performance: Whether to leave out proposals that may lower scores or cut off answers.
        aggressive: Whether to include proposals with less evidence or more risk.
    """

    agent: AgentName | None = None
    pool: AgentName | None = None
    days: Days = 14
    target_cost_reduction: Annotated[float, Field(gt=0, le=90)] | None = None
    preserve_performance: StrictBool = True
    aggressive: StrictBool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.aggressive and self.preserve_performance and "preserve_performance" in self.model_fields_set:
            msg = "aggressive contradicts preserve_performance; set only one of them"
            raise ValueError(msg)
        if self.agent is not None and self.pool is not None:
            msg = "look at an agent or at a pool, not at both"
            raise ValueError(msg)
        return self

    def request(self) -> OptimizationRequest:
        """Return the request."""
        from llmops.optimization.proposals import OptimizationRequest  # noqa: PLC0415 - named by annotations only

        preserve = self.preserve_performance and not self.aggressive
        target = self.target_cost_reduction
        return OptimizationRequest(self.agent, self.pool, self.days, target, preserve, self.aggressive)


class ApplyBody(Body):
    """The proposals to apply, by id."""

    proposals: Annotated[tuple[Annotated[str, Field(max_length=200)], ...], Field(min_length=1, max_length=200)]


class SavingView(View):
    """Estimated saving over 30 days in micro-USD, with its range."""

    low: int
    likely: int
    high: int


class ApiCallView(View):
    """A call of this API."""

    method: str
    path: str
    body: Mapping[str, Any] | None
    if_match: str | None


class ProposedChangeView(View):
    """The change of a proposal.

    Attributes:
        fields: Fields of the agent with their new values.
        call: The API call that makes the change; null where people have to.
        undo: The API call that undoes it; null where people have to.
        advice: What people have to do; null where there is a call.
        diff: A change of a file or of the app's settings, as a unified diff; null where there is a call.
    """

    fields: Mapping[str, Any]
    call: ApiCallView | None
    undo: ApiCallView | None
    advice: str | None
    diff: str | None


class MeasuredView(View):
    """Actual saving in the week after a change, compared with the week before; null where not computable."""

    runs_before: int
    runs_after: int
    cost_per_run_before: float | None
    cost_per_run_after: float | None
    saved_micro_usd: int | None
    quality_before: float | None
    quality_after: float | None


class AppliedView(View):
    """The application of a proposal and its measured result; `measured` is null until `measured_from`."""

    at: datetime
    revision: int
    measured_from: datetime
    measured: MeasuredView | None


class ProposalView(View):
    """A proposal to lower costs; money in micro-USD, shares 0-1."""

    id: str
    kind: ProposalKind
    agent: str
    title: str
    evidence: Mapping[str, float | str]
    formula: str
    projected_savings: SavingView
    risk: Risk
    harm: str
    change: ProposedChangeView
    recommended: bool
    applied: AppliedView | None

    @classmethod
    def from_proposal(cls, one: Proposal, measured: Measured | None) -> ProposalView:
        """Return the view of a proposal."""
        do, undo = calls_of(one.change)
        applied = None
        if one.applied is not None:
            applied = AppliedView(
                at=one.applied.at,
                revision=one.applied.revision,
                measured_from=one.applied.at + MEASURED_AFTER,
                measured=MeasuredView.of(measured) if measured else None,
            )
        return cls(
            **{name: getattr(one, name) for name in ("id", "kind", "agent", "title", "evidence", "formula")},
            **{name: getattr(one, name) for name in ("risk", "harm", "recommended")},
            projected_savings=SavingView.of(one.saving),
            change=ProposedChangeView(
                fields=one.change.fields,
                call=ApiCallView.of(do) if do else None,
                undo=ApiCallView.of(undo) if undo else None,
                advice=one.change.advice or None,
                diff=one.change.diff or None,
            ),
            applied=applied,
        )


class OptimizationSummaryView(View):
    """An optimization without its proposals.

    Attributes:
        whole: Whether all facts of these days were read; else the latest of each day.
        spent_micro_usd: Their cost.
        projected_micro_usd: That cost projected to 30 days.
        projected_savings: Estimated saving of the recommended proposals over 30 days; an upper bound where several
            concern
            one agent.
        target_reached: Whether that reaches the target.
    """

    id: str
    created_at: datetime
    first: date
    last: date
    facts: int
    whole: bool
    spent_micro_usd: int
    projected_micro_usd: int
    projected_savings: SavingView
    target_reached: bool

    @classmethod
    def fields_of(cls, found: Optimization) -> dict[str, Any]:
        """Return the fields of the view."""
        names = set(OptimizationSummaryView.model_fields) - {"projected_savings"}
        return {name: getattr(found, name) for name in names} | {"projected_savings": SavingView.of(found.savings)}

    @classmethod
    def from_optimization(cls, found: Optimization) -> OptimizationSummaryView:
        """Return the view of an optimization."""
        return cls(**cls.fields_of(found))


class OptimizationView(OptimizationSummaryView):
    """An optimization with its proposals."""

    proposals: Sequence[ProposalView]

    @classmethod
    def from_optimization(  # pyright: ignore[reportIncompatibleMethodOverride] - it has more to show
        cls, found: Optimization, measured: Mapping[str, Measured]
    ) -> OptimizationView:
        """Return the view of an optimization, with the measured savings of its applied proposals."""
        views = [ProposalView.from_proposal(one, measured.get(one.id)) for one in found.proposals]
        return cls(**cls.fields_of(found), proposals=views)


class OptimizationPage(Page[OptimizationSummaryView]):
    """Optimizations, newest first."""


class ModelPriceBody(Body):
    """A price in USD per million tokens; cache rates left out are those of input."""

    input: Usd
    output: Usd
    cached_input: Usd | None = None
    cache_write: Usd | None = None


_NEEDS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "prices": (frozenset(), frozenset({"model", "prices"})),
    "budget": (frozenset({"limit"}), frozenset({"unit", "period"})),
    "ttl": (frozenset({"idle_after_s"}), frozenset()),
    "cache": (frozenset({"capacity"}), frozenset({"workers"})),
    "pool": (frozenset(), frozenset({"concurrency", "tokens_per_minute", "requests_per_minute"})),
}
"""Required and optional fields of each kind."""


class OtherTermsBody(Body):
    """A what-if request.

    Attributes:
        kind: `prices` recomputes costs at other prices, `budget` applies a limit, `ttl` another idle time before agents
            are
            retired, `cache` another size of the agent cache, `pool` other capacity limits.
        agent: The agent; default all.
        days: Number of days, including today.
        model: For `prices`: price all calls as this model; default their own.
        prices: For `prices`: prices by model name, instead of the workspace's.
        unit: For `budget`: the unit.
        period: For `budget`: when the counter resets.
        limit: For `budget`: the limit per period; USD, or whole tokens, calls or runs.
        idle_after_s: For `ttl`: idle time in seconds after which an agent is retired.
        capacity: For `cache`: agents held per worker.
        workers: For `cache`: number of workers.
        concurrency: For `pool`: concurrent runs.
        tokens_per_minute: For `pool`: tokens of runs that begin within a minute.
        requests_per_minute: For `pool`: model calls of runs that begin within a minute.
    """

    kind: Literal["prices", "budget", "ttl", "cache", "pool"]
    agent: AgentName | None = None
    days: Annotated[int, Field(ge=1, le=30)] = 7
    model: ModelName | None = None
    prices: Annotated[Mapping[ModelName, ModelPriceBody], Field(max_length=50)] | None = None
    unit: Unit = "usd"
    period: Period = "day"
    limit: Annotated[Decimal, Field(gt=0, le=1_000_000_000_000)] | None = None
    idle_after_s: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    capacity: Annotated[int, Field(ge=1, le=10_000)] | None = None
    workers: Annotated[int, Field(ge=1, le=64)] | None = None
    concurrency: Annotated[int, Field(ge=1, le=100_000)] | None = None
    tokens_per_minute: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    requests_per_minute: Annotated[int, Field(ge=1, le=10_000_000)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        needs, may = _NEEDS[self.kind]
        given = self.model_fields_set - {"kind", "days"}
        if missing := sorted(needs - given):
            msg = f"{self.kind} needs {', '.join(missing)}"
            raise ValueError(msg)
        may = needs | may | ({"agent"} if self.kind != "cache" else set())
        if more := sorted(given - may):
            msg = f"{', '.join(more)} means nothing to {self.kind}"
            raise ValueError(msg)
        if self.kind == "prices" and self.model is None and self.prices is None:
            msg = "prices needs model or prices"
            raise ValueError(msg)
        if self.kind == "pool" and not given & may - {"agent"}:
            msg = "pool needs concurrency, tokens_per_minute or requests_per_minute"
            raise ValueError(msg)
        if self.kind == "budget" and self.limit is not None and self.unit != "usd" and self.limit % 1:
            msg = f"limit is a whole number of {self.unit}"
            raise ValueError(msg)
        return self

    @property
    def amount(self) -> int:
        """The limit of a budget, USD in micro-USD."""
        limit = self.limit or Decimal(0)
        return int(limit * 1_000_000) if self.unit == "usd" else int(limit)

    def rates(self) -> Callable[[Rates], Rates]:
        """Return a function that applies these prices to the workspace's rates."""

        def changed(rates: Rates) -> Rates:
            for name, price in (self.prices or {}).items():
                rates = rates.having(name, Rate(name, price.input, price.output, price.cached_input, price.cache_write))
            return rates

        return changed


class ReplayedHistoryView(View):
    """The result of a what-if request.

    Attributes:
        kind: The kind requested.
        first: First UTC day examined.
        last: Last UTC day examined.
        records: Number of facts, or uses of agents, replayed.
        whole: Whether these were all; else the latest of each day.
        figures: Results by name (docs/savings.md); money in micro-USD, times in ms, shares 0-1.
        groups: The same by model, agent or policy, where useful.
        assumptions: The assumptions, as sentences.
    """

    kind: str
    first: date
    last: date
    records: int
    whole: bool
    figures: Mapping[str, float | None]
    groups: Mapping[str, Mapping[str, float | None]]
    assumptions: Sequence[str]

    @classmethod
    def of_replay(cls, body: OtherTermsBody, found: Replayed) -> ReplayedHistoryView:
        """Return the view of a replay."""
        outcome = found.outcome
        return cls(
            kind=body.kind,
            first=found.first,
            last=found.last,
            records=found.records,
            whole=found.whole,
            figures=outcome.figures,
            groups=outcome.groups,
            assumptions=outcome.assumptions,
        )
