"""Token usage of model calls, and what a number of calls came to."""

from __future__ import annotations

from dataclasses import dataclass


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
        calls: Model calls.
        input_tokens: Input tokens, cached ones included.
        cached_tokens: Of these, read from the provider's cache.
        output_tokens: Output tokens, reasoning included.
        cost_micro_usd: Sum of the priced calls, in micro-USD.
        unpriced_calls: Calls whose model has no known price; what they cost is in no sum.
    """

    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost_micro_usd: int = 0
    unpriced_calls: int = 0

    def __add__(self, other: Spend) -> Spend:
        return Spend(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
            self.cost_micro_usd + other.cost_micro_usd,
            self.unpriced_calls + other.unpriced_calls,
        )

    def __sub__(self, other: Spend) -> Spend:
        return self + Spend(
            -other.calls,
            -other.input_tokens,
            -other.cached_tokens,
            -other.output_tokens,
            -other.cost_micro_usd,
            -other.unpriced_calls,
        )


def spend_of(usage: Usage, cost_micro_usd: int | None) -> Spend:
    """Return one call's spend; a cost of None makes it an unpriced call."""
    return Spend(
        calls=1,
        input_tokens=usage.input_tokens,
        cached_tokens=usage.cached_tokens,
        output_tokens=usage.output_tokens,
        cost_micro_usd=cost_micro_usd or 0,
        unpriced_calls=int(cost_micro_usd is None),
    )
