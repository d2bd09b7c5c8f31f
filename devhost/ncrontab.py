"""Timer schedules: NCRONTAB expressions and time spans. Pure functions."""

import itertools
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from croniter import croniter

from devhost.timespan import parse_timespan

# croniter has extensions (`L`, `#`, `H`, `R`, `?`) that NCRONTAB does not have and that must be rejected here too.
_FIELD = re.compile(r"(?:\*|\d+|[A-Za-z]{3,9})(?:[-/,](?:\*|\d+|[A-Za-z]{3,9}))*")
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Schedule:
    """When a timer fires: a six-field cron expression, or a fixed interval."""

    text: str
    cron: str | None
    interval: timedelta | None = None

    @classmethod
    def parse(cls, text: str) -> "Schedule":
        """Parse `{sec} {min} {hour} {day} {month} {day-of-week}`, the five-field form (second 0), or `hh:mm:ss`.

        Raises:
            ValueError: The text is none of them.
        """
        fields = text.split()
        if len(fields) == 1 and ":" in text:
            interval = parse_timespan(text)
            if interval <= timedelta(0):
                raise ValueError(f"the interval {text!r} is not positive")
            return cls(text, None, interval)
        if len(fields) not in {5, 6} or not all(_FIELD.fullmatch(field) for field in fields):
            raise ValueError(f"{text!r} is not an NCRONTAB expression of five or six fields, nor hh:mm:ss")
        cron = " ".join(fields if len(fields) == 6 else ["0", *fields])
        try:
            croniter(cron, second_at_beginning=True, day_or=False)
        except (ValueError, KeyError) as error:
            raise ValueError(f"{text!r} is not an NCRONTAB expression: {error}") from error
        return cls(text, cron)

    def next_after(self, moment: datetime) -> datetime:
        """Return the first occurrence strictly after an aware moment, in that moment's time zone.

        Day of month and day of week must *both* match (Vixie cron fires when either does).
        """
        if self.interval is not None:
            return moment + self.interval
        return croniter(self.cron or "", moment, second_at_beginning=True, day_or=False).get_next(datetime)

    def is_frequent(self, moment: datetime) -> bool:
        """Return whether occurrences are less than a minute apart: the host keeps no status for such schedules."""
        if self.interval is not None:
            return self.interval < _MINUTE
        times = [self.next_after(moment)]
        for _ in range(5):
            times.append(self.next_after(times[-1]))
        return min(later - earlier for earlier, later in itertools.pairwise(times)) < _MINUTE
