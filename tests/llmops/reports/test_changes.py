"""Forecasts, movers and days that stand out."""

from __future__ import annotations

import random
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from llmops.reports.forecast import forecast
from llmops.reports.report import LEAST_MICRO_USD, MOST_MOVERS, anomalies, movers

TODAY = date(2026, 11, 21)
USD = 1_000_000


def days(count: int, until: date = TODAY) -> list[date]:
    return [until - timedelta(days=back) for back in range(count, 0, -1)]


def test_a_steady_month_goes_on_steadily() -> None:
    """Ten dollars a day; today has cost four so far."""
    found = forecast(dict.fromkeys(days(40), 10 * USD) | {TODAY: 4 * USD}, TODAY)

    assert found is not None
    assert (found.expected, found.low, found.high) == (300 * USD, 300 * USD, 300 * USD)
    assert found.from_days == 28


def test_weekdays_are_told_apart() -> None:
    """Nothing at weekends: of the nine days left in November 2026, three are Saturdays or Sundays (with the 22nd)."""
    history = {day: (0 if day.weekday() > 4 else 10 * USD) for day in days(28)}

    found = forecast(history, TODAY)

    assert found is not None
    spent = sum(cost for day, cost in history.items() if day.month == 11)
    assert found.expected == spent + 6 * 10 * USD


def test_a_few_days_foretell_nothing() -> None:
    assert forecast({}, TODAY) is None
    assert forecast({TODAY: USD}, TODAY) is None
    assert forecast(dict.fromkeys(days(6), USD), TODAY) is None
    assert forecast(dict.fromkeys(days(7), USD), TODAY) is not None


def test_what_was_spent_is_never_taken_back() -> None:
    found = forecast(dict.fromkeys(days(20), USD) | {TODAY: 500 * USD}, TODAY)

    assert found is not None
    assert found.low >= 520 * USD
    assert found.expected == (20 + 500 + 9) * USD


def test_the_limits_hold_as_often_as_said() -> None:
    """Over many months of independent days, about four in five end between the limits."""
    rng = random.Random(3)
    inside = 0
    for _ in range(300):
        costs = {day: max(0, round(rng.gauss(10, 3) * USD)) for day in days(28)}
        found = forecast(costs, TODAY)
        assert found is not None
        left = sum(max(0, round(rng.gauss(10, 3) * USD)) for _ in range(10))
        actual = sum(cost for day, cost in costs.items() if day.month == 11) + left
        inside += found.low <= actual <= found.high

    assert 0.6 < inside / 300 < 0.92


@given(costs=st.dictionaries(st.integers(0, 60), st.integers(0, 10**12), max_size=40))
def test_a_forecast_is_in_order_whatever_was_spent(costs: dict[int, int]) -> None:
    by_day = {TODAY - timedelta(days=back): cost for back, cost in costs.items()}
    found = forecast(by_day, TODAY)

    if found is not None:
        spent = sum(cost for day, cost in by_day.items() if (day.year, day.month) == (2026, 11))
        assert spent <= found.low <= found.expected <= found.high


def test_who_changed_most_comes_first() -> None:
    before = {"same": 5, "less": 100, "gone": 60} | {f"small{number}": number for number in range(9)}
    found = movers(before, {"same": 5, "less": 10, "new": 70} | {f"small{number}": number + 1 for number in range(9)})

    assert [(mover.name, mover.change) for mover in found][:3] == [("less", -90), ("new", 70), ("gone", -60)]
    assert len(found) == MOST_MOVERS


def test_a_day_that_stands_out_is_found() -> None:
    rng = random.Random(4)
    by_day = {day: {"steady": 10 * USD, "noisy": round(rng.uniform(5, 15) * USD)} for day in days(20)}
    last = days(1)[0]
    by_day[last] = {"steady": 40 * USD, "noisy": 15 * USD}

    (found,) = anomalies(by_day, [last])

    assert (found.agent, found.day, found.cost_micro_usd, found.usual_micro_usd) == ("steady", last, 40 * USD, 10 * USD)
    assert found.score > 3.5


def test_a_day_without_its_usual_cost_stands_out_too() -> None:
    by_day = {day: {"steady": 10 * USD} for day in days(20)}
    del by_day[days(1)[0]]

    (found,) = anomalies(by_day, days(1))

    assert (found.cost_micro_usd, found.score < -3.5) == (0, True)


def test_cents_and_first_days_are_no_news() -> None:
    cents = {day: {"cheap": 100} for day in days(20)} | {TODAY: {"cheap": LEAST_MICRO_USD}}
    new = {day: {"new": USD} for day in days(3)} | {TODAY: {"new": 900 * USD}}

    assert anomalies(cents, [TODAY]) == []
    assert anomalies(new, [TODAY]) == []
    assert anomalies({}, [TODAY]) == []
