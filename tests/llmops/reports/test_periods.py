"""Days, weeks and months."""

from __future__ import annotations

from datetime import date, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import InvalidInput
from llmops.reports.periods import Kind, Period, parse_kind, parse_period, period_of

KINDS = st.sampled_from(get_args(Kind))
DAYS = st.dates(date(2000, 1, 1), date(2100, 12, 31))


@pytest.mark.parametrize(
    ("kind", "day", "key", "first", "last"),
    [
        ("day", "2026-11-21", "2026-11-21", "2026-11-21", "2026-11-21"),
        ("week", "2026-11-21", "2026-W47", "2026-11-16", "2026-11-22"),
        ("week", "2027-01-01", "2026-W53", "2026-12-28", "2027-01-03"),
        ("month", "2024-02-10", "2024-02", "2024-02-01", "2024-02-29"),
    ],
)
def test_a_period_is_named_and_ends(kind: Kind, day: str, key: str, first: str, last: str) -> None:
    period = period_of(kind, date.fromisoformat(day))

    assert (period.key, str(period.first), str(period.last)) == (key, first, last)


@given(kind=KINDS, day=DAYS)
def test_periods_follow_each_other_without_gap(kind: Kind, day: date) -> None:
    period = period_of(kind, day)

    assert day in period
    assert period.previous.last + timedelta(days=1) == period.first
    assert parse_period(period.key) == period
    assert period_of(kind, period.last) == period


@pytest.mark.parametrize("text", ["", "2026", "2026-13", "2026-W54", "2026-02-30", "2026-W7", "week", "2026-11-21 "])
def test_what_names_no_period_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_period(text)

    assert caught.value.code == "invalid_period"


def test_kinds_go_by_name() -> None:
    assert [parse_kind(kind) for kind in ("day", "week", "month")] == ["day", "week", "month"]
    with pytest.raises(InvalidInput):
        parse_kind("year")
    assert Period("day", date(2026, 1, 1)).previous.key == "2025-12-31"
