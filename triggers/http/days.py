"""Days in requests."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from kernel.errors import InvalidInput

if TYPE_CHECKING:
    from triggers.http.call import Call

# fromisoformat alone takes weeks (2026-W47-6) and days without dashes, too; and a day at the edge of what a date holds
# has no day, week or month beside it.
_DAY = re.compile(r"(?:19[7-9][0-9]|2[0-9]{3})-[0-9]{2}-[0-9]{2}")


def parse_day(text: Any) -> date:
    """Return the day of that name, like 2026-11-21.

    Raises:
        ValueError: There is none, or it is before 1970 or after 2999.
    """
    if not isinstance(text, str) or not _DAY.fullmatch(text):
        msg = "no day"
        raise ValueError(msg)
    return date.fromisoformat(text)


def day(text: str | None, name: str) -> date | None:
    """Return the day that a parameter names; None for None.

    Raises:
        InvalidInput: It names none.
    """
    if text is None:
        return None
    try:
        return parse_day(text)
    except ValueError:
        rule = "a day from 1970 to 2999, like 2026-11-21"
        raise InvalidInput(f"'{name}' is {rule}.", code="invalid_day", fields={name: rule}) from None


def day_range(call: Call, before: int = 0) -> tuple[date, date]:
    """Return the first and the last UTC day that a call asks for with `from` and `to`.

    Args:
        call: The call.
        before: How many days before the last one the first one is unless given; never after today.

    Raises:
        InvalidInput: One is no day.
    """
    today = call.services.core.clock().date()
    last = day(call.query("to"), "to") or today
    return day(call.query("from"), "from") or min(today, last - timedelta(days=before)), last
