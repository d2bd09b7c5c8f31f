"""Base classes of request and response models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from kernel.validation import NullsAsAbsent

T = TypeVar("T")


class View(BaseModel):
    """Base of response models; validators are built on first use."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True, defer_build=True)

    @classmethod
    def of(cls, *sources: object, **given: object) -> Self:
        """Return the view of domain values, from their attributes of the same names; earlier sources take precedence.

        Args:
            sources: The domain values.
            given: Fields with other names, or that are not attributes.
        """
        if len(sources) == 1 and not given:
            return cls.model_validate(sources[0])
        named = {name: source for source in reversed(sources) for name in cls.model_fields if hasattr(source, name)}
        return cls.model_validate({name: getattr(source, name) for name, source in named.items()} | given)


class Body(NullsAsAbsent):
    """Base of request models, in which null means left out; validators are built on first use."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Page(View, Generic[T]):
    """A page of items, and `next`, the cursor of the next page; null at the end."""

    items: Sequence[T]
    next: str | None


class FailureView(View):
    """A failure: a stable code and a sentence."""

    code: str
    detail: str


class SpendView(View):
    """Model calls, their tokens and cost: the sum of the priced calls, exact to the micro-dollar.

    Counted at an estimate are `unsettled_calls`, whose usage is unknown because worker or connection died, and
    `unmetered_calls`, which the provider answered without usable usage.
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
