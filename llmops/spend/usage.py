"""Token usage of model calls: read from providers' reports, and summed as spend.

Reports differ by provider. These names are read, in this order:

    input         prompt_tokens, input_tokens, input_token_count (Agent Framework)
    output        completion_tokens, output_tokens, output_token_count
    total         total_tokens, total_token_count
    cache read    {prompt,input}_tokens_details.cached_tokens, cache_read_input_tokens (Anthropic, LiteLLM),
                  prompt_cache_hit_tokens (DeepSeek), cached_tokens and num_cached_tokens (Moonshot, Mistral)
    cache write   {prompt,input}_tokens_details.cache_creation_tokens (LiteLLM), .cache_write_tokens (OpenAI and
                  OpenRouter), .cache_creation_input_tokens (Qwen), cache_creation_input_tokens (Anthropic)
    reasoning     {completion,output}_tokens_details.reasoning_tokens, reasoning_tokens

Anthropic's own `input_tokens` exclude cached tokens, all others' include them. Where the total exceeds input plus
output, the output is corrected: Gemini and xAI leave reasoning tokens out of `completion_tokens`, and charge for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import add, sub
from typing import Any

from kernel.lazy_dataclass import dataclass
from kernel.strict_json import is_mapping


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model call.

    Attributes:
        input_tokens: All input tokens, including those read from or written to the provider's cache.
        cached_tokens: Input tokens read from the provider's cache.
        cache_write_tokens: Input tokens written to the provider's cache.
        output_tokens: All output tokens, including reasoning.
        reasoning_tokens: Output tokens spent on reasoning.
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Unmetered:
    """A usage report that cannot be used.

    Attributes:
        reason: What is wrong with it, for operators.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Spend:
    """The sum of a number of model calls.

    Attributes:
        calls: Model calls; one that the provider refused is not counted.
        input_tokens: Input tokens, including cached ones.
        cached_tokens: Input tokens read from the provider's cache.
        cache_write_tokens: Input tokens written to the provider's cache.
        output_tokens: Output tokens, including reasoning.
        reasoning_tokens: Output tokens spent on reasoning.
        cost_micro_usd: Sum of the priced calls and of tools' fees, in micro-USD.
        unpriced_calls: Calls whose model has no known price; their cost is in no sum.
        unsettled_calls: Calls with unknown usage, because worker or connection died; counted at their estimate.
        unmetered_calls: Calls answered without a usable usage report; counted at their estimate.
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
    unmetered_calls: int = 0

    def __add__(self, other: Spend) -> Spend:
        return Spend(*map(add, self.amounts, other.amounts))

    def __sub__(self, other: Spend) -> Spend:
        return Spend(*map(sub, self.amounts, other.amounts))

    @property
    def amounts(self) -> tuple[int, ...]:
        """The fields in order."""
        return tuple(getattr(self, name) for name in Spend.__slots__)


def spend_of(usage: Usage, cost_micro_usd: int | None, *, unsettled: bool = False, unmetered: bool = False) -> Spend:
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
        unmetered_calls=int(unmetered),
    )


_MOST = 1_000_000_000
"""Upper bound of a plausible token count; larger ones are rejected."""

_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details")
_ANTHROPIC = ("cache_read_input_tokens", "cache_creation_input_tokens")


def read_usage(reported: object) -> Usage | Unmetered:
    """Return the usage in a provider's report, if its counts are whole, not negative and consistent.

    Args:
        reported: The answer's `usage` as received, or Agent Framework's `UsageDetails`; None where there is none.
    """
    if not is_mapping(reported) or not reported:
        return Unmetered("none is reported")
    found = reported
    try:
        given = _count(found, "prompt_tokens", "input_tokens", "input_token_count")
        made = _count(found, "completion_tokens", "output_tokens", "output_token_count")
        total = _count(found, "total_tokens", "total_token_count")
        cached = _count(
            found,
            *_within(_INPUT_DETAILS, "cached_tokens"),
            *("cache_read_input_tokens", "cache_read_input_token_count"),
            *("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens"),
        )
        written = _count(
            found,
            *_within(_INPUT_DETAILS, "cache_creation_tokens", "cache_write_tokens", "cache_creation_input_tokens"),
            *("cache_creation_input_tokens", "cache_creation_input_token_count"),
        )
        reasoning = _count(
            found,
            *_within(_OUTPUT_DETAILS, "reasoning_tokens"),
            *("reasoning_tokens", "reasoning_output_token_count"),
        )
    except ValueError as error:
        return Unmetered(str(error))
    if given is None or made is None:
        return Unmetered(f"the tokens of {'input' if given is None else 'output'} are not reported")
    apart = (cached or 0) + (written or 0)
    if _leaves_cache_out(found) or (given < apart and total == given + made + apart):
        given, total = given + apart, None if total == given + made else total
    return _consistent(given, made, total, cached or 0, written or 0, reasoning or 0)


def _consistent(
    given: int, made: int, total: int | None, cached: int, written: int, reasoning: int
) -> Usage | Unmetered:
    if given == 0:
        return Unmetered("an input of no tokens is reported")
    if total is not None:
        if total < given + made:
            return Unmetered("the total is less than input and output")
        made = total - given
    if cached + written > given:
        return Unmetered("more is read from and written to a cache than is input")
    if reasoning > made:
        return Unmetered("more is reasoning than is output")
    return Usage(given, cached, written, made, reasoning)


def _leaves_cache_out(found: Mapping[str, Any]) -> bool:
    """Return whether this is Anthropic's own report, whose input excludes cached tokens."""
    its_own = found.get("input_tokens") is not None and found.get("prompt_tokens") is None
    return its_own and found.get("input_tokens_details") is None and any(found.get(name) for name in _ANTHROPIC)


def _within(details: Sequence[str], *names: str) -> Sequence[str]:
    return [f"{detail}.{name}" for detail in details for name in names]


def _count(found: Mapping[str, Any], *paths: str) -> int | None:
    """Return the count under these names, the largest if there are several; None without any.

    Raises:
        ValueError: One of them is not a number of tokens.
    """
    counts: list[int] = []
    for path in paths:
        outer, dot, inner = path.partition(".")
        value: Any = found.get(outer)
        if dot:
            if value is not None and not is_mapping(value):
                msg = f"{outer} holds no counts"
                raise ValueError(msg)
            value = (value or {}).get(inner)
        if value is None:
            continue
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= len(str(_MOST)):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST or value % 1:
            msg = f"{path} is no number of tokens"
            raise ValueError(msg)
        counts.append(int(value))
    return max(counts, default=None)
