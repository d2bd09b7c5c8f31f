"""Time as text."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.clock import hour_bucket, rfc3339

zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1), timezones=zones)  # noqa: DTZ001


@given(moment=moments)
def test_a_moment_survives_to_the_millisecond(moment: datetime) -> None:
    """Whatever zone it was in, it is written in UTC with a Z and read as UTC."""
    text = rfc3339(moment)
    back = datetime.fromisoformat(text)

    assert text.endswith("Z")
    assert len(text) == len("2026-11-21T08:00:00.000Z")
    assert back.utcoffset() == timedelta(0)
    assert timedelta(0) <= moment - back < timedelta(milliseconds=1)


@given(moments=st.lists(moments, min_size=2, max_size=5))
def test_texts_sort_as_moments_do(moments: list[datetime]) -> None:
    """So that they can be keys."""
    assert sorted(map(rfc3339, moments)) == [rfc3339(moment) for moment in sorted(moments)]
    assert sorted(map(hour_bucket, moments)) == [hour_bucket(moment) for moment in sorted(moments)]


def test_a_naive_datetime_is_not_written() -> None:
    """For the same reason."""
    with pytest.raises(ValueError, match="naive"):
        rfc3339(datetime(2026, 11, 21))  # noqa: DTZ001 - the naive datetime is the point


def test_an_hour_is_that_of_utc() -> None:
    """Buckets of all zones are the same."""
    assert hour_bucket(datetime(2026, 11, 21, 0, 59, tzinfo=timezone(timedelta(hours=2)))) == "2026-11-20T22"
