"""What a month will have come to, from the days before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import fmean, stdev

from llmops.reports.periods import period_of

LOOK_BACK_DAYS = 28
FEWEST_DAYS = 7
_TEN_PERCENT = 1.2816
"""Quantile of the normal distribution that leaves a tenth above it."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the month is expected to cost in all, in micro-USD.

    Attributes:
        expected: Spent so far and what the days that are left should come to.
        low: With a probability of nine in ten it will be more; never less than was spent.
        high: With a probability of nine in ten it will be less.
        from_days: Days that the expectation rests on.
    """

    expected: int
    low: int
    high: int
    from_days: int


def forecast(by_day: Mapping[date, int], today: date) -> Forecast | None:
    """Return the forecast for today's month; None with fewer than seven whole days since the first spending.

    A day that is left is expected to cost what its weekday did on average over the last four weeks; where fewer than
    two such weekdays are known, what all days did. The limits take the days' deviations from that as independent and
    normal: a seasonal mean (Hyndman, Athanasopoulos, "Forecasting: Principles and Practice", 5.2).

    Args:
        by_day: Cost in micro-USD by day; a day that is missing cost nothing.
        today: The day that is not over yet; what it came to so far counts as spent, the rest of it as left.
    """
    known = [day for day, cost in by_day.items() if cost and day < today]
    if not known:
        return None
    first = max(min(known), today - timedelta(days=LOOK_BACK_DAYS))
    history = {day: by_day.get(day, 0) for day in _days(first, today - timedelta(days=1))}
    if len(history) < FEWEST_DAYS:
        return None
    expected = {weekday: _expected(history, weekday) for weekday in range(7)}
    deviation = stdev(cost - expected[day.weekday()] for day, cost in history.items())
    month = period_of("month", today)
    spent = sum(by_day.get(day, 0) for day in _days(month.first, today))
    rest_of_today = max(0.0, expected[today.weekday()] - by_day.get(today, 0))
    ahead = _days(today + timedelta(days=1), month.last)
    left = rest_of_today + sum(expected[day.weekday()] for day in ahead)
    margin = _TEN_PERCENT * deviation * math.sqrt(len(ahead) + (rest_of_today > 0))
    return Forecast(
        round(spent + left), round(spent + max(0.0, left - margin)), round(spent + left + margin), len(history)
    )


def _expected(history: Mapping[date, int], weekday: int) -> float:
    same = [cost for day, cost in history.items() if day.weekday() == weekday]
    return fmean(same) if len(same) > 1 else fmean(history.values())


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
