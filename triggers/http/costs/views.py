"""Request and response models of costs and prices."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import Field, model_validator

from llmops.spend.costs import Costs
from llmops.spend.pricing import TOOL, Rate
from triggers.http.base_models import Body, Page, SpendView, View

Usd = Annotated[Decimal, Field(ge=0, le=1_000_000, max_digits=16, decimal_places=9)]


class CostPartView(View):
    """The spend of one part of a group."""

    name: str
    spend: SpendView


class CostGroupView(View):
    """The spend of one group; `parts` where a split was requested."""

    name: str
    spend: SpendView
    parts: Sequence[CostPartView]


class CostsView(View):
    """The spend of some days."""

    first: date
    last: date
    group_by: str
    total: SpendView
    groups: Sequence[CostGroupView]

    @classmethod
    def from_costs(cls, costs: Costs) -> CostsView:
        """Return the view of costs."""
        groups = [
            CostGroupView(
                name=name,
                spend=SpendView.of(each),
                parts=[CostPartView(name=part, spend=SpendView.of(spent)) for part, spent in costs.parts.get(name, ())],
            )
            for name, each in costs.groups
        ]
        return cls.of(costs, groups=groups)


class PriceBody(Body):
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
        """Return the rate under a name; None when the fields do not match the kind (model or tool)."""
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
