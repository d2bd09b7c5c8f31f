"""What a model call costs, from the maintained price data of genai-prices (github.com/pydantic/genai-prices)."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from kernel.money import to_micro_usd
from llmops.spend.usage import Usage


class Price(NamedTuple):
    """What a call cost.

    Attributes:
        cost_micro_usd: In micro-USD; None when the model has no known price. It is never guessed.
        rate: The rate applied, as the price data words it (`$0.25/input MTok, $2/output MTok`); empty when unknown.
    """

    cost_micro_usd: int | None
    rate: str


UNPRICED = Price(None, "")


def price(model: str, usage: Usage, at: datetime) -> Price:
    """Return what a call to the model with this usage costs at the rate of that time.

    Reasoning tokens are part of the output tokens and cached ones of the input tokens, so neither is counted twice.
    """
    import genai_prices  # noqa: PLC0415 - 0.3 s of import that a cold start must not pay

    try:
        tokens = genai_prices.Usage(
            input_tokens=usage.input_tokens,
            cache_read_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            output_tokens=usage.output_tokens,
        )
        found = genai_prices.calc_price(tokens, model_ref=model, genai_request_timestamp=at)
    except (LookupError, ValueError):  # an unknown model, or counts that contradict each other
        return UNPRICED
    return Price(to_micro_usd(found.total_price), str(found.model_price).removeprefix("ModelPrice(").removesuffix(")"))
