"""Which price a call is charged at: by the name asked for and the one that answered, however they are spelled."""

from __future__ import annotations

from decimal import Decimal

import pytest

from llmops.spend.model_names import spellings
from llmops.spend.pricing import UNPRICED, Rate, Rates, price, public_name
from llmops.spend.usage import Usage
from tests.lifecycle.doubles import NOW

USAGE = Usage(100, output_tokens=100)


def _rates(**own: int) -> Rates:
    """Return rates of so many USD per million tokens; in names, `__` stands for `/`."""
    names = {name.replace("__", "/").replace("_", "-"): usd for name, usd in own.items()}
    return Rates({name: Rate(name, Decimal(usd), Decimal(usd)) for name, usd in names.items()})


def test_a_deployments_own_rate_is_applied_whatever_model_answers() -> None:
    """Azure answers with the model's name, and self-hosted servers with a path."""
    rates = Rates({"my-deployment": Rate("my-deployment", Decimal(100), Decimal(400))})
    for served in ("gpt-5-mini-2025-08-07", "/models/weights.gguf", None):
        found = rates.price("my-deployment", USAGE, NOW, served)

        assert found.cost_micro_usd == 50_000
        assert found.rate.startswith("own rate of my-deployment: $100/input MTok")


@pytest.mark.parametrize(
    ("own", "asked", "served", "used"),
    [
        ({"asked": 1, "gpt_5_mini": 2}, "asked", "gpt-5-mini", "own rate of asked"),
        ({"gpt_5_mini": 2}, "asked", "gpt-5-mini", "own rate of gpt-5-mini"),
        ({"gpt_5_mini": 2}, "asked", "openai/gpt-5-mini-2025-08-07", "own rate of gpt-5-mini"),
        ({"openai__gpt_5_mini": 2, "gpt_5_mini": 3}, "asked", "openai/gpt-5-mini", "own rate of openai/gpt-5-mini"),
        ({}, "gpt-4o", "gpt-5-mini-2025-08-07", "gpt-5-mini"),
        ({}, "gpt-4o", "/models/weights.gguf", "gpt-4o"),
        ({}, "gpt-4o", None, "gpt-4o"),
        ({"other": 1}, "asked", "/models/weights.gguf", ""),
    ],
)
def test_the_first_entry_that_there_is_holds_and_the_line_names_it(
    own: dict[str, int], asked: str, served: str | None, used: str
) -> None:
    """Own before public; asked for before served among one's own, the other way round among public ones."""
    assert _rates(**own).price(asked, USAGE, NOW, served).rate.partition(":")[0] == used


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("gpt-5-mini", "gpt-5-mini"),
        ("openai/gpt-5-mini", "gpt-5-mini"),
        ("gpt-5-mini-2025-08-07", "gpt-5-mini-2025-08-07"),
        ("azure/openai/gpt-5-mini", "gpt-5-mini"),
        ("models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("deepseek/deepseek-chat:free", "deepseek-chat"),
        ("anthropic/claude-3.7-sonnet:beta", "claude-3.7-sonnet"),
        ("~anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("claude-3-5-sonnet@20240620", "claude-3-5-sonnet@20240620"),
        ("publishers/anthropic/models/claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929"),
        ("x-ai/grok-4", "grok-4"),
        ("@cf/meta/llama-3.1-8b-instruct", "@cf/meta/llama-3.1-8b-instruct"),
        ("/models/weights.gguf", None),
        ("meta-llama/some-model", None),
        ("my-gpt-5-mini-deployment", None),
    ],
)
def test_a_public_price_is_found_under_the_names_that_gateways_give(name: str, public: str | None) -> None:
    """Prefixes, regions, tags and dates are taken off step by step; a deployment's name is never guessed at."""
    found = public_name(name)

    assert (found is None) == (public is None)
    assert price(name, USAGE, NOW) == (UNPRICED if public is None else price(public, USAGE, NOW))
    assert spellings(name)[0] == name


def test_what_a_call_may_cost_is_reserved_by_the_same_rule() -> None:
    """Before an answer there is one name, and its own rate holds."""
    rates = Rates({"my-deployment": Rate("my-deployment", Decimal(100), Decimal(400), cache_write=Decimal(125))})

    assert rates.at_most("my-deployment", USAGE, NOW).cost_micro_usd == 100 * 125 + 100 * 400
    assert Rates().at_most("openai/gpt-5-mini", USAGE, NOW) == Rates().at_most("gpt-5-mini", USAGE, NOW)


@pytest.mark.parametrize(
    "model", ["claude-sonnet-4-5", "claude-3-5-haiku-latest", "gpt-5-mini", "gemini-2.5-pro", "nobody-knows"]
)
@pytest.mark.parametrize("tokens", [1, 150_000, 900_000])
def test_the_most_that_a_call_can_cost_is_that_of_its_dearest_input(model: str, tokens: int) -> None:
    """All of it plain, or all of it written to a cache, where that has a price of its own."""
    usage = Usage(input_tokens=tokens, output_tokens=1_000)
    written = Usage(input_tokens=tokens, cache_write_tokens=tokens, output_tokens=1_000)

    most = Rates().at_most(model, usage, NOW).cost_micro_usd

    costs = [Rates().price(model, each, NOW).cost_micro_usd for each in (usage, written)]
    assert most == (None if None in costs else max(cost for cost in costs if cost is not None))
