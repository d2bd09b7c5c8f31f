"""History under other terms: prices, budgets, times to live and limits, beside what they are by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from llmops.facts.attempt_fact import AttemptFact, Timing
from llmops.optimization.what_if import OtherLimits, other_budget, other_limit, other_prices, other_ttl
from llmops.spend.pricing import Rate, Rates
from llmops.spend.usage import Usage
from tests.lifecycle.doubles import NOW
from tests.llmops.conftest import call, fact

USAGE = Usage(input_tokens=1000, output_tokens=100)


def spent(number: int, micro_usd: int, days: int = 0) -> AttemptFact:
    at = NOW + timedelta(days=days, seconds=number)
    return replace(
        fact(f"run-{number}", at=at), calls=(replace(call(1), usage=USAGE, cost_micro_usd=micro_usd, at=at),)
    )


def job(arrives_s: float, takes_s: float) -> AttemptFact:
    """Return a run that was accepted then and took so long once a worker had it."""
    accepted = NOW + timedelta(seconds=arrives_s)
    return replace(
        fact(f"run-{arrives_s}-{takes_s}"),
        timing=Timing(accepted, accepted, accepted, accepted + timedelta(seconds=takes_s)),
    )


def test_other_prices_are_for_the_same_tokens() -> None:
    """Of one model for all calls; what has no price is counted apart and in no sum."""
    facts = [spent(1, 5000), replace(spent(2, 5000), calls=(replace(call(1), model="x", cost_micro_usd=None),))]
    rates = Rates({"small": Rate("small", Decimal(1), Decimal(10))})

    outcome = other_prices(facts, rates, "small")

    assert outcome.figures == {
        "calls": 2,
        "unpriced_calls": 1,
        "cost_micro_usd": 5000,
        "would_cost_micro_usd": 2000,
        "saved_micro_usd": 3000,
        "saved_share": 0.6,
    }
    assert set(outcome.groups) == {"gpt-4o-mini", "x"}


def test_a_budget_stops_what_is_above_it_in_each_period() -> None:
    """By the day it starts again; in total it does not."""
    facts = [spent(number, 40, days) for days in (0, 1) for number in range(4)]

    by_day = other_budget(facts, "usd", "day", 100)
    in_all = other_budget(facts, "usd", "total", 100)

    assert (by_day.figures["runs_that_would_wait"], by_day.figures["would_cost_micro_usd"]) == (4, 160)
    assert (by_day.figures["periods"], by_day.figures["periods_that_reach_it"]) == (2, 2)
    assert (in_all.figures["runs_that_would_wait"], in_all.figures["would_cost_micro_usd"]) == (6, 80)
    assert other_budget(facts, "runs", "day", 3).figures["runs_that_would_wait"] == 2
    assert other_budget(facts, "tokens", "day", 10**9).figures["runs_that_would_wait"] == 0


@given(st.lists(st.integers(0, 100), max_size=30), st.integers(1, 500))
def test_no_budget_is_ever_passed(costs: list[int], limit: int) -> None:
    outcome = other_budget([spent(at, cost) for at, cost in enumerate(costs)], "usd", "total", limit)

    assert (outcome.figures["would_cost_micro_usd"] or 0) <= limit
    assert outcome.figures["cost_micro_usd"] == sum(costs)


def test_a_shorter_time_to_live_restores_more_often() -> None:
    """Used at 0, 1 and 5 hours: after two hours' rest it is retired once, after half an hour's twice."""
    facts = [job(hours * 3600, 0) for hours in (0, 1, 5)]

    assert other_ttl(facts, timedelta(hours=2)).figures["restored"] == 1
    assert other_ttl(facts, timedelta(minutes=30)).figures["restored"] == 2
    assert other_ttl(facts, timedelta(days=1)).figures["restored"] == 0


def test_a_queue_waits_as_it_does_by_hand() -> None:
    """Three arrive at once and take 10 s: with one at a time they wait 0, 10 and 20 s, with two 0, 0 and 10."""
    facts = [job(0, 10), job(0, 10.0001), job(0, 10.0002)]

    one, two, three = (other_limit(facts, OtherLimits(limit)).figures for limit in (1, 2, 3))

    assert round(one["wait_ms_most"] or 0, -2) == 20_000
    assert round(two["wait_ms_most"] or 0, -2) == 10_000
    assert (three["wait_ms_most"], three["waited"]) == (0, 0)
    assert one["utilisation"] == 1


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 50)), min_size=1, max_size=40), st.integers(1, 8))
def test_more_room_never_makes_anybody_wait_longer(jobs: list[tuple[int, int]], limit: int) -> None:
    facts = [job(*one) for one in jobs]
    few, many = (other_limit(facts, OtherLimits(count)).figures for count in (limit, limit + 1))

    assert (many["wait_ms_mean"] or 0) <= (few["wait_ms_mean"] or 0)
    assert 0 <= (few["utilisation"] or 0) <= 1


def test_tokens_and_calls_of_a_minute_make_what_comes_wait() -> None:
    """Three attempts of 15 tokens and a call each: of a limit for two, the third begins a minute after the first."""
    facts = [job(at, 1) for at in (0, 10, 20)]
    tokens = other_limit(facts, OtherLimits(tokens_per_minute=30)).figures
    calls = other_limit(facts, OtherLimits(requests_per_minute=1)).figures
    large = other_limit(facts, OtherLimits(tokens_per_minute=1)).figures
    whole = other_limit(facts, OtherLimits(tokens_per_minute=45, requests_per_minute=3)).figures

    assert (tokens["waited"], round(tokens["wait_ms_most"] or 0)) == (1, 40_000)
    assert (calls["waited"], round(calls["wait_ms_most"] or 0)) == (2, 100_000)
    assert round(large["wait_ms_most"] or 0) == 100_000
    assert whole["waited"] == 0
    assert tokens["utilisation"] is None


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 50)), min_size=1, max_size=40),
    st.integers(1, 5),
    st.integers(1, 8),
)
def test_no_minute_is_above_a_limit_that_is_tried(jobs: list[tuple[int, int]], calls: int, slots: int) -> None:
    """Whatever came when: the replay itself waits as a pool would have it, so that more never waits longer."""
    facts = [job(*one) for one in jobs]
    few = other_limit(facts, OtherLimits(slots, requests_per_minute=calls)).figures
    many = other_limit(facts, OtherLimits(slots, requests_per_minute=calls + 1)).figures
    least = 60 * ((len(jobs) - 1) // calls)  # so long it takes until the last may begin

    assert (many["wait_ms_mean"] or 0) <= (few["wait_ms_mean"] or 0) + 0.001
    assert (few["wait_ms_most"] or 0) / 1000 >= least - max(at for at, _ in jobs) - 0.001


def test_of_nothing_nothing_is_said() -> None:
    """No figure is made up where there is no history."""
    assert other_limit([], OtherLimits(1)).figures["wait_ms_p95"] is None
    assert other_prices([], Rates(), "m").figures["saved_share"] is None
    assert other_ttl([], timedelta(hours=1)).figures["runs_that_wait_for_it"] is None
    assert other_budget([], "usd", "day", 1).figures["first_reached_at"] is None
