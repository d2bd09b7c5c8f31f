"""Days in requests."""

from __future__ import annotations

import re
from datetime import date

from kernel.errors import InvalidInput

# fromisoformat alone takes weeks (2026-W47-6) and days without dashes, too.
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def day(text: str | None, name: str) -> date | None:
    """Return the day that a parameter names, like 2026-11-21; None for None.

    Raises:
        InvalidInput: It names none.
    """
    if text is None:
        return None
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    rule = "a day like 2026-11-21"
    raise InvalidInput(f"'{name}' is {rule}.", code="invalid_day", fields={name: rule})
