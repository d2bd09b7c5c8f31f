"""A workspace's own rates: validated, versioned, its own, and noted where a model has none at all."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from adapters.memory_tables import MemoryTables
from kernel.errors import EtagMismatch, NotFound
from llmops.spend.pricing import Rate, Rates, price
from llmops.spend.rate_store import RateStore
from llmops.spend.usage import Usage
from tests.lifecycle.doubles import NOW, CountingTables, ManualClock

OWN = Rate("my-deployment", Decimal("1.5"), Decimal(6), cached_input=Decimal("0.15"))
SEARCH = Rate("tool:web_search", per_1000_calls=Decimal(10))


def test_cached_and_written_tokens_have_their_own_rate_and_count_once() -> None:
    """100 of 1,000 are cached, and 200 written at the rate of input; reasoning is in the output."""
    usage = Usage(1000, cached_tokens=100, cache_write_tokens=200, output_tokens=50, reasoning_tokens=40)
    found = Rates({OWN.name: OWN}).price("my-deployment", usage, NOW)

    assert found.cost_micro_usd == round(900 * 1.5 + 100 * 0.15 + 50 * 6)
    assert found.rate == "own rate of my-deployment: $1.5/input MTok, $6/output MTok, $0.15/cached input MTok"


def test_an_own_rate_stands_before_the_public_one() -> None:
    """Only for its name."""
    usage = Usage(1_000_000)
    rates = Rates({"gpt-4o-mini": Rate("gpt-4o-mini", Decimal(7), Decimal(7))})

    assert rates.price("gpt-4o-mini", usage, NOW).cost_micro_usd == 7_000_000
    assert rates.price("gpt-4o", usage, NOW) == price("gpt-4o", usage, NOW)
    assert rates.price("nobody-knows", usage, NOW).cost_micro_usd is None


def test_the_most_that_a_call_can_cost_counts_the_dearest_input() -> None:
    """Anthropic's cache writes cost more than plain input."""
    usage = Usage(1_000_000)
    plain = price("claude-sonnet-4-5", usage, NOW).cost_micro_usd
    most = Rates().at_most("claude-sonnet-4-5", usage, NOW).cost_micro_usd

    assert plain is not None
    assert most is not None
    assert most > plain


def test_tools_have_fees_where_they_are_priced() -> None:
    """An unpriced tool costs nothing that is known."""
    assert Rates({SEARCH.name: SEARCH}).fees({"web_search": 3, "code_interpreter": 5}) == 30_000


async def test_rates_are_kept_with_etags_and_are_the_workspaces_own() -> None:
    book = RateStore(MemoryTables(), ManualClock(), timedelta(seconds=5))
    etag, new = await book.put("default", OWN, None)
    assert new
    assert await book.put("default", OWN, etag) == (etag, False)
    with pytest.raises(EtagMismatch):
        await book.put("default", SEARCH, "other")
    with pytest.raises(NotFound):
        await book.get("team", OWN.name)
    await book.put("default", SEARCH, None)
    first, after = await book.list("default", 1)
    rest, end = await book.list("default", 1, after)
    assert {rate.name for rate, _ in [*first, *rest]} == {OWN.name, SEARCH.name}
    assert end is None
    with pytest.raises(EtagMismatch):
        await book.delete("default", OWN.name, "other")
    await book.delete("default", OWN.name, etag)
    assert OWN.name not in (await book.of("default")).own


async def test_rates_are_read_once_in_a_while() -> None:
    """A call does not read them; a change is used within the time of trust."""
    tables, clock = CountingTables(), ManualClock()
    book = RateStore(tables, clock, timedelta(seconds=5))
    for _ in range(10):
        await book.of("default")
    assert tables.operations.total() == 1
    await RateStore(tables, clock, timedelta()).put("default", OWN, None)
    clock.move(seconds=5)
    assert OWN.name in (await book.of("default")).own


async def test_models_without_a_price_are_counted_for_a_day() -> None:
    """Until they have one."""
    clock = ManualClock()
    book = RateStore(MemoryTables(), clock, timedelta())
    assert await book.note_unpriced("default", "my-deployment", "/models/weights.gguf")
    assert not await book.note_unpriced("default", "my-deployment", "/models/weights.gguf")
    await book.note_unpriced("team", "another", "another")
    assert await book.unpriced() == 2
    await book.put("default", OWN, None)
    assert await book.unpriced() == 1
    clock.move(days=1, seconds=1)
    assert await book.unpriced() == 0
