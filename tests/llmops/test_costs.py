"""Costs as asked for, prices, and the algebra of spends."""

from __future__ import annotations

from dataclasses import fields
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import InvalidInput
from kernel.money import to_micro_usd
from llmops.spend.costs import (
    MOST_PARTS,
    OTHERS,
    Group,
    GroupBy,
    add_up,
    check_range,
    costs_of,
    group_by,
    split_by,
    split_days,
)
from llmops.spend.pricing import UNPRICED, price
from llmops.spend.usage import Spend, Usage, spend_of
from tests.lifecycle.doubles import NOW

DAY = date(2026, 11, 21)
amounts = st.integers(0, 10**12)
spends = st.builds(Spend, *[amounts] * 6)


def group(
    agent: str = "a", model: str = "m", provider: str = "p", user_id: str = "u", purpose: str = "answer"
) -> Group:
    return Group("default", agent, provider, model, user_id, purpose)


@given(a=spends, b=spends, c=spends)
def test_spends_add_like_numbers(a: Spend, b: Spend, c: Spend) -> None:
    """In any order, with nothing as zero, and subtracting undoes adding; money stays whole."""
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Spend() == a
    assert (a + b) - b == a
    assert {type(getattr(a + b, field.name)) for field in fields(Spend)} == {int}


@given(parts=st.lists(st.tuples(st.sampled_from("xyz"), spends)))
def test_totals_are_the_sum_of_their_parts(parts: list[tuple[str, Spend]]) -> None:
    """However they are grouped."""
    assert sum(add_up(parts).values(), Spend()) == sum((spend for _, spend in parts), Spend())


def test_an_unpriced_call_is_counted_and_costs_nothing() -> None:
    """A zero price is a price."""
    usage = Usage(input_tokens=3, cached_tokens=1, output_tokens=2)

    assert spend_of(usage, None) == Spend(calls=1, input_tokens=3, cached_tokens=1, output_tokens=2, unpriced_calls=1)
    assert spend_of(usage, 0) == Spend(calls=1, input_tokens=3, cached_tokens=1, output_tokens=2)


@pytest.mark.parametrize(
    ("grouping", "names"),
    [
        ("agent", ["b", "a"]),
        ("model", ["n", "m"]),
        ("provider", ["p"]),
        ("user", ["v", "u"]),
        ("purpose", ["evaluation", "answer"]),
        ("day", ["2026-11-20", "2026-11-21"]),
    ],
)
def test_costs_are_grouped_as_asked(grouping: GroupBy, names: list[str]) -> None:
    """The dearest first, days in order; the total is of all of them."""
    dear, cheap = Spend(calls=1, cost_micro_usd=9), Spend(calls=1, cost_micro_usd=1, unpriced_calls=1)
    before = {group("b", "n", "p", "v", "evaluation"): dear, group("a"): cheap}
    by_day = {DAY: {group("a"): cheap}, DAY - timedelta(days=1): before}
    costs = costs_of(by_day, DAY - timedelta(days=1), DAY, group_by(grouping))

    assert [name for name, _ in costs.groups] == names
    assert costs.total == Spend(calls=3, cost_micro_usd=11, unpriced_calls=2)


def test_days_are_split_into_the_dearest_parts_and_the_others() -> None:
    """The order is that of all days together; nothing is lost."""
    many = MOST_PARTS + 3
    sums = {group(f"a{number:02d}"): Spend(calls=1, cost_micro_usd=number + 1) for number in range(many)}
    by_day = {DAY: sums, DAY - timedelta(days=1): {group("a00"): Spend(calls=1, cost_micro_usd=100)}}
    first = DAY - timedelta(days=1)
    costs = split_days(costs_of(by_day, first, DAY, "day"), by_day, split_by("agent", "day"))
    today, before = costs.parts[DAY.isoformat()], costs.parts[first.isoformat()]

    assert [name for name, _ in today] == ["a00", *(f"a{number:02d}" for number in range(many - 1, 3, -1)), OTHERS]
    assert before == [("a00", Spend(calls=1, cost_micro_usd=100))]
    assert sum((spend for _, spend in [*today, *before]), Spend()) == costs.total
    for text, grouping in (("colour", "day"), ("agent", "model")):
        with pytest.raises(InvalidInput) as caught:
            split_by(text, group_by(grouping))
        assert caught.value.code == "invalid_split_by"


def test_what_cannot_be_asked() -> None:
    """Days in the wrong order, more than a year, an unknown grouping."""
    check_range(DAY, DAY)
    check_range(DAY - timedelta(days=365), DAY)
    for first in (DAY + timedelta(days=1), DAY - timedelta(days=366)):
        with pytest.raises(InvalidInput) as caught:
            check_range(first, DAY)
        assert caught.value.code == "invalid_range"
    with pytest.raises(InvalidInput):
        group_by("colour")


def test_a_known_model_is_priced_to_the_micro_dollar() -> None:
    """Cached tokens at their own rate, reasoning within the output, the rate in words."""
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000, reasoning_tokens=500_000)
    plain = price("gpt-4o-mini", usage, NOW)
    cached = price("gpt-4o-mini", Usage(input_tokens=1_000_000, cached_tokens=1_000_000), NOW)

    assert plain.cost_micro_usd == 750_000
    assert cached.cost_micro_usd == 75_000
    assert "MTok" in plain.rate


@pytest.mark.parametrize("model", ["", "no-such-model", "../..", "offline", "x" * 5000])
def test_an_unknown_model_has_no_price(model: str) -> None:
    """It is never guessed."""
    assert price(model, Usage(input_tokens=5), NOW) == UNPRICED


@pytest.mark.parametrize(
    "usage", [Usage(input_tokens=1, cached_tokens=2), Usage(input_tokens=-1), Usage(1, 1, 1, 1, 1), Usage()]
)
def test_counts_that_contradict_each_other_stop_no_run(usage: Usage) -> None:
    """A provider that counts badly is at worst unpriced; the call is in the ledger all the same."""
    cost = price("gpt-4o-mini", usage, NOW).cost_micro_usd

    assert cost is None or isinstance(cost, int)


@given(usd=st.decimals(0, 10**6, places=9))
def test_money_is_rounded_to_whole_micro_dollars(usd: Decimal) -> None:
    """Half to even, and never a float."""
    micro = to_micro_usd(usd)

    assert isinstance(micro, int)
    assert abs(Decimal(micro) / 10**6 - usd) <= Decimal("0.0000005")
