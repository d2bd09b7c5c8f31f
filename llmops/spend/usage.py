"""Token usage of model calls, and what a number of calls came to."""

from __future__ import annotations

from dataclasses import dataclass
from operator import add, sub


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model call.

    Attributes:
        input_tokens: All input tokens, those read from or written to the provider's cache included.
        cached_tokens: Input tokens read from the provider's cache.
        cache_write_tokens: Input tokens written to the provider's cache.
        output_tokens: All output tokens, reasoning included.
        reasoning_tokens: Output tokens spent on reasoning.
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Spend:
    """What a number of model calls came to.

    Attributes:
        calls: Model calls; one that the provider refused is none.
        input_tokens: Input tokens, cached ones included.
        cached_tokens: Of these, read from the provider's cache.
        cache_write_tokens: Of these, written to the provider's cache.
        output_tokens: Output tokens, reasoning included.
        reasoning_tokens: Of these, spent on reasoning.
        cost_micro_usd: Sum of the priced calls and of tools' fees, in micro-USD.
        unpriced_calls: Calls whose model has no known price; what they cost is in no sum.
        unsettled_calls: Calls whose usage nobody learnt, because worker or connection died; counted at their estimate.
    """

    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_micro_usd: int = 0
    unpriced_calls: int = 0
    unsettled_calls: int = 0

    def __add__(self, other: Spend) -> Spend:
        return Spend(*map(add, self.amounts, other.amounts))

    def __sub__(self, other: Spend) -> Spend:
        return Spend(*map(sub, self.amounts, other.amounts))

    @property
    def amounts(self) -> tuple[int, ...]:
        """The fields in order."""
        return tuple(getattr(self, name) for name in Spend.__slots__)


def spend_of(usage: Usage, cost_micro_usd: int | None, *, unsettled: bool = False) -> Spend:
    """Return one call's spend; a cost of None makes it an unpriced call."""
    return Spend(
        calls=1,
        input_tokens=usage.input_tokens,
        cached_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        cost_micro_usd=cost_micro_usd or 0,
        unpriced_calls=int(cost_micro_usd is None),
        unsettled_calls=int(unsettled),
    )
