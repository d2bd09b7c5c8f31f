"""Time as an argument: rules get `now`, services get a Clock; only bootstrap reads the system's clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the current time as an aware UTC datetime."""


def rfc3339(moment: datetime) -> str:
    """Return the moment as RFC 3339 UTC with milliseconds and a `Z`.

    Raises:
        ValueError: The datetime is naive; it would be taken as local time.
    """
    if moment.tzinfo is None:
        msg = "naive datetime; pass an aware one"
        raise ValueError(msg)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def hour_bucket(moment: datetime) -> str:
    """Return the moment's UTC hour, sortable: `2026-11-21T08`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H")
