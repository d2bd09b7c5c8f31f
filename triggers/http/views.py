"""What every answer is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from kernel.validation import NullsAsAbsent

T = TypeVar("T")


class View(BaseModel):
    """What the API answers or takes; its validator is built on first use."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True, defer_build=True)

    @classmethod
    def of(cls, *sources: object, **given: object) -> Self:
        """Return the view of domain values: their attributes of the same names, the first that has it first.

        Args:
            sources: The domain values.
            given: Fields that are called otherwise there, or are no attribute.
        """
        if len(sources) == 1 and not given:
            return cls.model_validate(sources[0])
        named = {name: source for source in reversed(sources) for name in cls.model_fields if hasattr(source, name)}
        return cls.model_validate({name: getattr(source, name) for name, source in named.items()} | given)


class Body(NullsAsAbsent):
    """What the API takes, null being as good as left out; its validator is built on first use."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Page(View, Generic[T]):
    """Some items, and the `next` to ask for more with; null when these were the last."""

    items: Sequence[T]
    next: str | None


class FailureView(View):
    """Why something failed: a stable code and a sentence."""

    code: str
    detail: str


class SpendView(View):
    """Model calls, their tokens and cost: the sum of the priced calls, exact to the micro-dollar.

    Counted at an estimate are `unsettled_calls`, because worker or connection died before their usage was known, and
    `unmetered_calls`, because the provider answered without a usage that can be booked.
    """

    calls: int
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_micro_usd: int
    unpriced_calls: int
    unsettled_calls: int
    unmetered_calls: int
