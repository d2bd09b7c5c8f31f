"""Time as an argument: rules take `now`, services take a Clock, only bootstrap reads the wall clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the current time as an aware UTC datetime."""


def rfc3339(moment: datetime) -> str:
    """Return the moment as RFC 3339 UTC with milliseconds and a `Z`.

    Raises:
        ValueError: The datetime is naive; it would silently mean local time.
    """
    if moment.tzinfo is None:
        msg = "naive datetime; pass an aware one"
        raise ValueError(msg)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime:
    """Return the aware UTC datetime written as RFC 3339.

    Raises:
        ValueError: The text is no RFC 3339 date-time, or has no offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        msg = "a date-time needs an offset or Z"
        raise ValueError(msg)
    return moment.astimezone(UTC)


def hour_bucket(moment: datetime) -> str:
    """Return the UTC hour the moment falls in, sortable: `2026-11-21T08`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H")
