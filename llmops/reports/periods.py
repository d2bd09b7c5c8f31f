"""Days, weeks and months, in UTC."""

from __future__ import annotations

import calendar
import re
from datetime import date, timedelta
from typing import Literal, get_args

from kernel.errors import InvalidInput
from kernel.lazy_dataclass import dataclass

Kind = Literal["day", "week", "month"]

# A period at the limits of what a date can hold has no previous or next one, and no week.
_YEAR = r"(?:19[7-9][0-9]|2[0-9]{3})"
_DAY = re.compile(rf"{_YEAR}-[0-9]{{2}}-[0-9]{{2}}")
_WEEK = re.compile(rf"({_YEAR})-W([0-9]{{2}})")
_MONTH = re.compile(rf"({_YEAR})-([0-9]{{2}})")


@dataclass(frozen=True, slots=True)
class Period:
    """A day, an ISO 8601 week or a month.

    Attributes:
        kind: Day, week or month.
        first: Its first day.
    """

    kind: Kind
    first: date

    @property
    def last(self) -> date:
        """Its last day."""
        match self.kind:
            case "day":
                return self.first
            case "week":
                return self.first + timedelta(days=6)
            case "month":
                return self.first.replace(day=calendar.monthrange(self.first.year, self.first.month)[1])

    @property
    def key(self) -> str:
        """Its name: `2026-11-21`, `2026-W47` or `2026-11`."""
        match self.kind:
            case "day":
                return self.first.isoformat()
            case "week":
                year, week, _ = self.first.isocalendar()
                return f"{year:04d}-W{week:02d}"
            case "month":
                return self.first.isoformat()[:7]

    @property
    def previous(self) -> Period:
        """The period of the same kind before it."""
        return period_of(self.kind, self.first - timedelta(days=1))

    def __contains__(self, day: date) -> bool:
        """Return whether the day is in it."""
        return self.first <= day <= self.last


def period_of(kind: Kind, day: date) -> Period:
    """Return the period of that kind that the day is in."""
    match kind:
        case "day":
            return Period(kind, day)
        case "week":
            return Period(kind, day - timedelta(days=day.weekday()))
        case "month":
            return Period(kind, day.replace(day=1))


def parse_kind(text: str) -> Kind:
    """Return the kind of that name.

    Raises:
        InvalidInput: There is no such kind.
    """
    for kind in get_args(Kind):
        if kind == text:
            return kind
    allowed = ", ".join(get_args(Kind))
    raise InvalidInput(f"A period is one of: {allowed}.", code="invalid_period", fields={"period": allowed})


def parse_period(text: str) -> Period:
    """Return the period of that key.

    Raises:
        InvalidInput: It is not a day, week or month.
    """
    try:
        if _DAY.fullmatch(text):
            return Period("day", date.fromisoformat(text))
        if found := _WEEK.fullmatch(text):
            return Period("week", date.fromisocalendar(int(found[1]), int(found[2]), 1))
        if found := _MONTH.fullmatch(text):
            return Period("month", date(int(found[1]), int(found[2]), 1))
    except ValueError:
        pass
    msg = "A report is named by a day (2026-11-21), a week (2026-W47) or a month (2026-11), from 1970 to 2999."
    raise InvalidInput(msg, code="invalid_period", fields={"period": msg})
