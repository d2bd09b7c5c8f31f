"""Rules of .NET time spans."""

from datetime import timedelta

import pytest

from devhost.timespan import parse_timespan


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00:05:00", timedelta(minutes=5)),
        ("1.02:03:04", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("00:00:00.5", timedelta(milliseconds=500)),
        ("00:00:00.1234567", timedelta(microseconds=123456)),
        ("-00:00:01", timedelta(seconds=-1)),
        ("10:30", timedelta(hours=10, minutes=30)),
    ],
)
def test_reads_dotnet_forms(text: str, expected: timedelta) -> None:
    """Days, fractions and signs are read as .NET reads them."""
    assert expected == parse_timespan(text)


def test_twenty_four_hours_are_twenty_four_days() -> None:
    """An hour above 23 is a number of days, the trap of `24:00:00` in host.json."""
    assert timedelta(days=24) == parse_timespan("24:00:00")


@pytest.mark.parametrize("text", ["", "5", "abc", "00:60:00", "1:2:3:4"])
def test_refuses_anything_else(text: str) -> None:
    """What is no time span is an error, not a guess."""
    with pytest.raises(ValueError, match="not a time span"):
        parse_timespan(text)
