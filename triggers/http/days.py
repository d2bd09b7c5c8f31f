"""Parsing days in requests."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from kernel.errors import InvalidInput

if TYPE_CHECKING:
    from triggers.http.handler_call import Call

# `fromisoformat` also accepts weeks (2026-W47-6) and days without dashes; and a day at the limits of what a date can
# hold has no neighbouring day, week or month.
_DAY = re.compile(r"(?:19[7-9][0-9]|2[0-9]{3})-[0-9]{2}-[0-9]{2}")


def parse_day(text: Any) -> date:
    """Return the day of a text like 2026-11-21.

    Raises:
        ValueError: It is not a day, or is before 1970 or after 2999.
    """
    if not isinstance(text, str) or not _DAY.fullmatch(text):
        msg = "no day"
        raise ValueError(msg)
    return date.fromisoformat(text)


def day(text: str | None, name: str) -> date | None:
    """Return the day of a parameter; None for None.

    Raises:
        InvalidInput: It is not a day.
    """
    if text is None:
        return None
    try:
        return parse_day(text)
    except ValueError:
        rule = "a day from 1970 to 2999, like 2026-11-21"
        raise InvalidInput(f"'{name}' is {rule}.", code="invalid_day", fields={name: rule}) from None


def day_range(call: Call, before: int = 0) -> tuple[date, date]:
    """Return the first and last UTC day of a call's `from` and `to`.

    Args:
        call: The call.
        before: Default of `from`, in days before `to`; never after today.

    Raises:
        InvalidInput: One is not a day.
    """
    today = call.services.core.clock().date()
    last = day(call.query("to"), "to") or today
    return day(call.query("from"), "from") or min(today, last - timedelta(days=before)), last
