"""Rules of timer schedules."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devhost.ncrontab import Schedule

NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)  # a Saturday


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*/5 * * * * *", NOON + timedelta(seconds=5)),
        ("30 * * * * *", NOON + timedelta(seconds=30)),
        ("0 */5 * * * *", NOON + timedelta(minutes=5)),
        ("*/5 * * * *", NOON + timedelta(minutes=5)),
        ("0 0 3 * * *", datetime(2026, 11, 22, 3, tzinfo=UTC)),
        ("0 30 9 * * 1-5", datetime(2026, 11, 23, 9, 30, tzinfo=UTC)),
        ("0 0 0 * * Sun", datetime(2026, 11, 22, tzinfo=UTC)),
        ("0 0 0 1 Jan *", datetime(2027, 1, 1, tzinfo=UTC)),
        ("0 0 0 1,15 * *", datetime(2026, 12, 1, tzinfo=UTC)),
        ("00:00:10", NOON + timedelta(seconds=10)),
        ("06:00:00", NOON + timedelta(hours=6)),
    ],
)
def test_next_occurrence(text: str, expected: datetime) -> None:
    """Six fields begin with seconds, five have second 0, and a time span is an interval."""
    assert expected == Schedule.parse(text).next_after(NOON)


def test_day_of_month_and_day_of_week_must_both_match() -> None:
    """The thirteenth *and* Friday: Vixie cron would fire on either."""
    assert datetime(2027, 8, 13, tzinfo=UTC) == Schedule.parse("0 0 0 13 * Fri").next_after(NOON)


def test_an_occurrence_now_is_not_the_next() -> None:
    """The next occurrence lies strictly after the moment asked for."""
    assert datetime(2026, 11, 22, 12, tzinfo=UTC) == Schedule.parse("0 0 12 * * *").next_after(NOON)


def test_occurrences_are_in_the_zone_of_the_moment() -> None:
    """Three in the morning in Berlin is two in the morning in UTC in winter."""
    berlin = ZoneInfo("Europe/Berlin")

    occurrence = Schedule.parse("0 0 3 * * *").next_after(NOON.astimezone(berlin))

    assert datetime(2026, 11, 22, 2, tzinfo=UTC) == occurrence.astimezone(UTC)


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "61 * * * * *", "* * * * * * *", "0 0 0 L * *", "0 0 0 ? * *", "0 0 0 * * 1#2", "00:00:00", "x"],
)
def test_refuses_what_ncrontab_refuses(text: str) -> None:
    """Extensions of other crons (`L`, `#`, `?`) are errors here as in the host."""
    with pytest.raises(ValueError, match=r"NCRONTAB|interval|time span"):
        Schedule.parse(text)


@given(
    st.integers(1_704_067_200, 1_893_456_000),
    st.sampled_from(
        ["*/7 * * * * *", "0 */13 * * * *", "15 30 4 * * 1,3", "0 0 0 29 2 *", "0 0 */6 1-7 * Mon", "00:07:30"]
    ),
)
def test_occurrences_ascend_and_are_exact(moment_s: int, text: str) -> None:
    """Whatever the moment, occurrences lie after it, ascend and fall on whole seconds of a cron."""
    schedule = Schedule.parse(text)
    moment = datetime.fromtimestamp(moment_s, UTC) + timedelta(microseconds=moment_s % 7)

    first = schedule.next_after(moment)
    second = schedule.next_after(first)

    assert moment < first < second
    assert schedule.cron is None or first.microsecond == 0


@pytest.mark.parametrize(("text", "frequent"), [("*/30 * * * * *", True), ("0 * * * * *", False), ("00:00:59", True)])
def test_frequent_schedules_keep_no_status(text: str, frequent: bool) -> None:
    """Less than a minute between occurrences switches the monitor off, as in the host."""
    assert frequent == Schedule.parse(text).is_frequent(NOON)
