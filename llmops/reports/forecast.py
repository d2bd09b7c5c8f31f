"""Forecast of a month's total cost from the days before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, timedelta
from statistics import fmean, stdev

from kernel.lazy_dataclass import dataclass
from llmops.reports.periods import period_of

LOOK_BACK_DAYS = 28
FEWEST_DAYS = 7
_TEN_PERCENT = 1.2816
"""0.9 quantile of the standard normal distribution."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Forecast of a month's total cost, in micro-USD.

    Attributes:
        expected: Spent so far, plus the expected cost of the days left.
        low: The total exceeds this with a probability of 0.9; never less than was spent.
        high: The total is below this with a probability of 0.9.
        from_days: Number of days it is based on.
    """

    expected: int
    low: int
    high: int
    from_days: int


def forecast(by_day: Mapping[date, int], today: date) -> Forecast | None:
    """Return the forecast for today's month; None with fewer than seven complete days since the first spending.

    A day left is expected to cost the mean of its weekday over the last four weeks; where fewer than two such days are
    known, the mean of all days. The bounds take the days' residuals as independent and normal: the seasonal mean method
    (Hyndman, Athanasopoulos, "Forecasting: Principles and Practice", 5.2).

    Args:
        by_day: Cost in micro-USD by day; a missing day cost nothing.
        today: The incomplete day; its cost so far counts as spent, the rest of it as left.
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
