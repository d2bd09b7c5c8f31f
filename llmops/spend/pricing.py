"""The price of a model call: at a workspace's own rate where it has one, else at the public price.

Public prices are the maintained data of genai-prices (github.com/pydantic/genai-prices). A call has two names: the
requested model or deployment, and the model that the provider says answered. The first that exists applies:

1. the workspace's own rate of the requested name,
2. its own rate of the name that answered,
3. the public price of the name that answered,
4. the public price of the requested name;

each under the name itself before its other spellings (`llmops.spend.model_names`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from kernel.lazy_dataclass import dataclass
from kernel.money import to_micro_usd
from llmops.spend.model_names import spellings
from llmops.spend.usage import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice, PriceCalculation

_MILLION = Decimal(1_000_000)
TOOL = "tool:"
"""Prefix of the name of a tool's rate: `tool:search`."""


class Price(NamedTuple):
    """The price of a call.

    Attributes:
        cost_micro_usd: Cost in micro-USD; None when the model has no known price. It is never estimated.
        rate: The entry used and its rate (`gpt-5-mini: $0.25/input MTok, $2/output MTok`, or `own rate of …`); empty
            when
            unknown.
    """

    cost_micro_usd: int | None
    rate: str


UNPRICED = Price(None, "")


@dataclass(frozen=True, slots=True)
class Rate:
    """A negotiated rate, of a model or deployment, or of a tool that a provider runs.

    Attributes:
        name: The model as the provider names it, or `tool:` and the tool's name.
        input: USD per million input tokens.
        output: USD per million output tokens.
        cached_input: USD per million tokens read from the provider's cache; None for the rate of input.
        cache_write: USD per million tokens written to the provider's cache; None for the rate of input.
        per_1000_calls: USD per thousand calls, of a tool.
    """

    name: str
    input: Decimal = Decimal(0)
    output: Decimal = Decimal(0)
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    per_1000_calls: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Rates:
    """A workspace's own rates by name; without any, public prices apply."""

    own: Mapping[str, Rate] = field(default_factory=dict[str, Rate])

    def price(self, asked: str, usage: Usage, at: datetime, served: str | None = None) -> Price:
        """Return the price of a call with this usage at that time.

        Reasoning tokens are part of the output tokens and cached ones of the input tokens, so neither is counted twice.

        Args:
            asked: The requested model or deployment.
            usage: Its tokens.
            at: Start of the call.
            served: The model that the provider says answered; None where it has not answered.
        """
        rate = self.own_rate(asked, served)
        return price(served or asked, usage, at, asked) if rate is None else _at_rate(rate, usage)

    def having(self, model: str, rate: Rate) -> Rates:
        """Return the rates with this one for the model, replacing any other."""
        return Rates({**self.own, model: replace(rate, name=model)})

    def own_rate(self, asked: str, served: str | None = None) -> Rate | None:
        """Return the workspace's own rate for a call; None where it has none."""
        names = (*spellings(asked), *spellings(served or asked)) if self.own else ()
        return next((rate for name in names if (rate := self.own.get(name)) is not None), None)

    def at_most(self, asked: str, usage: Usage, at: datetime) -> Price:
        """Return the most that the call can cost, however much of its input is written to a cache."""
        plain = self.price(asked, usage, at)
        if self.own_rate(asked) is None and not _cache_writes_priced(asked):
            return plain
        all_written = Usage(
            input_tokens=usage.input_tokens, cache_write_tokens=usage.input_tokens, output_tokens=usage.output_tokens
        )
        written = self.price(asked, all_written, at).cost_micro_usd
        cost = plain.cost_micro_usd
        return plain if cost is None or written is None else Price(max(cost, written), plain.rate)

    def fees(self, tools: Mapping[str, int]) -> int:
        """Return the fees of these tools' calls, in micro-USD; a tool without a rate costs nothing."""
        rates = ((self.own.get(TOOL + name), calls) for name, calls in tools.items())
        return to_micro_usd(sum((rate.per_1000_calls * calls / 1000 for rate, calls in rates if rate), Decimal(0)))


def price(served: str, usage: Usage, at: datetime, asked: str | None = None) -> Price:
    """Return the public price of a call at that time: of the model that answered, else of the requested one.

    Args:
        served: The model that answered.
        usage: Its tokens.
        at: Start of the call.
        asked: The requested model, where that is another name.
    """
    name = public_name(served) or public_name(asked or served)
    if name is None:
        return UNPRICED
    import genai_prices  # noqa: PLC0415 - 0.3 s of import that a cold start must not pay

    try:
        tokens = genai_prices.Usage(
            input_tokens=usage.input_tokens,
            cache_read_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            output_tokens=usage.output_tokens,
        )
        found = genai_prices.calc_price(tokens, model_ref=name, genai_request_timestamp=at)
    except (LookupError, ValueError):  # no price at that time, or inconsistent counts
        return UNPRICED
    return Price(to_micro_usd(found.total_price), _words(found))


_known_words: dict[int, tuple[ModelPrice, str]] = {}
"""Description of each price by its identity; cached, because formatting takes as long as calculating."""


def _words(found: PriceCalculation) -> str:
    price = found.model_price
    known, words = _known_words.get(id(price), (None, ""))
    if known is not price:
        words = f"{found.model.id}: {str(price).removeprefix('ModelPrice(').removesuffix(')')}"
        if len(_known_words) < 2048:  # more entries than prices exist: the price data may have been renewed
            _known_words[id(price)] = (price, words)
    return words


@lru_cache(maxsize=2048)
def _cache_writes_priced(model: str) -> bool:
    """Return whether the model has, at any time, a separate public price for input written to a cache."""
    import genai_prices  # noqa: PLC0415 - 0.3 s of import that a cold start must not pay

    name = public_name(model)
    if name is None:
        return False
    usage = genai_prices.Usage(input_tokens=1, output_tokens=1)
    prices = genai_prices.calc_price(usage, model_ref=name).model.prices
    every = [each.prices for each in prices] if isinstance(prices, list) else [prices]
    return any(value is not None and "cache_write" in key for each in every for key, value in vars(each).items())


@lru_cache(maxsize=2048)
def public_name(model: str) -> str | None:
    """Return the first of the model's spellings that has a public price; None where none has."""
    import genai_prices  # noqa: PLC0415 - 0.3 s of import that a cold start must not pay

    for name in spellings(model):
        try:
            genai_prices.calc_price(genai_prices.Usage(input_tokens=1, output_tokens=1), model_ref=name)
        except (LookupError, ValueError):
            continue
        return name
    return None


def _at_rate(rate: Rate, usage: Usage) -> Price:
    plain = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
    if plain < 0:
        return UNPRICED
    cached = rate.input if rate.cached_input is None else rate.cached_input
    written = rate.input if rate.cache_write is None else rate.cache_write
    total = (
        rate.input * plain
        + cached * usage.cached_tokens
        + written * usage.cache_write_tokens
        + rate.output * usage.output_tokens
    )
    words = f"own rate of {rate.name}: ${rate.input:f}/input MTok, ${rate.output:f}/output MTok"
    if rate.cached_input is not None:
        words += f", ${rate.cached_input:f}/cached input MTok"
    if rate.cache_write is not None:
        words += f", ${rate.cache_write:f}/cache write MTok"
    return Price(to_micro_usd(total / _MILLION), words)
