"""What the API takes and answers of budgets and prices."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llmops.budgets.rules import Budget, Limit, Period, Unit, shown
from llmops.spend.pricing import TOOL, Rate
from triggers.views.base import Page, View

if TYPE_CHECKING:
    from llmops.budgets.positions import Position
    from llmops.budgets.rules import Scope

Percent = Annotated[int, Field(ge=1, le=100)]
Usd = Annotated[Decimal, Field(ge=0, le=1_000_000, max_digits=16, decimal_places=9)]
_PARTS = {"tokens": 1, "calls": 1, "usd": 1_000_000, "seconds": 1000}
"""How many of a unit's smallest part make one."""


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class LimitBody(_Body):
    """The most that may be spent in a period.

    Attributes:
        unit: What is counted: tokens (input and output), usd, model calls, or seconds of wall time.
        period: run and session have a counter for each; day and month are UTC; total never starts anew.
        limit: How much: whole tokens and calls, USD to the micro-dollar, seconds to the millisecond.
        soft: Percentages that are told when they are reached, ascending.
    """

    unit: Unit
    period: Period
    limit: Annotated[Decimal, Field(gt=0, le=1_000_000_000_000)]
    soft: Annotated[tuple[Percent, ...], Field(max_length=10)] = (50, 80, 100)

    @model_validator(mode="after")
    def _whole(self) -> LimitBody:
        if self.limit * _PARTS[self.unit] % 1:
            msg = f"limit has more decimal places than {self.unit} have"
            raise ValueError(msg)
        return self


class BudgetBody(_Body):
    """A budget, as it is declared: one limit for each unit and period."""

    limits: Annotated[tuple[LimitBody, ...], Field(min_length=1, max_length=20)]

    def of(self, scope: Scope) -> Budget:
        """Return the scope's budget."""
        return Budget(
            scope,
            tuple(
                Limit(each.unit, each.period, int(each.limit * _PARTS[each.unit]), each.soft) for each in self.limits
            ),
        )


class LimitView(View):
    """The most that may be spent in a period."""

    unit: Unit
    period: Period
    limit: float
    soft: Sequence[int]


class BudgetView(View):
    """A budget."""

    scope: str
    limits: Sequence[LimitView]

    @classmethod
    def from_budget(cls, budget: Budget) -> BudgetView:
        """Return the view of a budget."""
        limits = [
            LimitView(unit=each.unit, period=each.period, limit=shown(each.unit, each.amount), soft=each.soft)
            for each in budget.limits
        ]
        return cls(scope=str(budget.scope), limits=limits)


class BudgetPage(Page[BudgetView]):
    """Budgets by scope."""


class UsageView(View):
    """How much of a limit is used; `resets_at` is null where that is never."""

    scope: str
    unit: Unit
    period: Period
    limit: float
    used: float
    reserved: float
    remaining: float
    resets_at: datetime | None

    @classmethod
    def from_position(cls, position: Position) -> UsageView:
        """Return the view of a position."""
        left = max(0, position.limit - position.spent - position.reserved)
        return cls(
            scope=position.scope,
            unit=position.unit,
            period=position.period,
            limit=shown(position.unit, position.limit),
            used=shown(position.unit, position.spent),
            reserved=shown(position.unit, position.reserved),
            remaining=shown(position.unit, left),
            resets_at=position.resets_at,
        )


class UsagePage(Page[UsageView]):
    """How much of each limit is used."""


class PriceBody(_Body):
    """A rate of your own. Of a model: USD per million tokens. Of a tool (`tool:web_search`): USD per thousand calls.

    Attributes:
        input: USD per million input tokens.
        output: USD per million output tokens.
        cached_input: USD per million input tokens read from the provider's cache; the rate of input unless given.
        cache_write: USD per million input tokens written to the provider's cache; the rate of input unless given.
        per_1000_calls: USD per thousand calls of a tool.
    """

    input: Usd | None = None
    output: Usd | None = None
    cached_input: Usd | None = None
    cache_write: Usd | None = None
    per_1000_calls: Usd | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> PriceBody:
        of_tokens = {self.input, self.output, self.cached_input, self.cache_write} != {None}
        if of_tokens == (self.per_1000_calls is not None) or (of_tokens and None in (self.input, self.output)):
            msg = "give input and output for a model, or per_1000_calls for a tool"
            raise ValueError(msg)
        return self

    def of(self, name: str) -> Rate | None:
        """Return the rate under a name; None when a tool's is given for a model or the other way round."""
        if name.startswith(TOOL) != (self.per_1000_calls is not None):
            return None
        zero = Decimal(0)
        return Rate(
            name,
            self.input or zero,
            self.output or zero,
            self.cached_input,
            self.cache_write,
            self.per_1000_calls or zero,
        )


class PriceView(View):
    """A rate of your own, in USD: per million tokens, or per thousand calls of a tool."""

    name: str
    input: float | None
    output: float | None
    cached_input: float | None
    cache_write: float | None
    per_1000_calls: float | None

    @classmethod
    def from_rate(cls, rate: Rate) -> PriceView:
        """Return the view of a rate."""
        if rate.name.startswith(TOOL):
            none = dict.fromkeys(("input", "output", "cached_input", "cache_write"))
            return cls(name=rate.name, per_1000_calls=float(rate.per_1000_calls), **none)
        return cls(
            name=rate.name,
            input=float(rate.input),
            output=float(rate.output),
            cached_input=None if rate.cached_input is None else float(rate.cached_input),
            cache_write=None if rate.cache_write is None else float(rate.cache_write),
            per_1000_calls=None,
        )


class PricePage(Page[PriceView]):
    """Rates of your own."""
