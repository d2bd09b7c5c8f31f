"""When users' schedules and the app's own timers are due, and which missed times are made up for. Pure rules.

NCRONTAB (learn.microsoft.com/azure/azure-functions/functions-bindings-timer, "NCRONTAB expressions"): six fields with
seconds first, or five without; day of month and day of week must both match.

A user's schedule has a time zone. A local time that a clock change skips is due at the end of the gap, and one that
occurs twice is due once, unless the hour is a pattern such as `*` or `*/2`, which applies to both.

The app's own timers are in UTC, and one function runs several of them. A timer runs at most a minute late, as it waits
for the function's next run; times missed while the app was down are made up for once.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from kernel.errors import InvalidInput
from kernel.lazy_dataclass import dataclass
from kernel.settings import InvalidSettings

LEAST_APART = timedelta(minutes=1)
"""Least time between due times of a schedule."""
ON_TIME = timedelta(minutes=5)
"""How late a run may be submitted without counting as missed: timers run at intervals."""
MOST_AT_ONCE = 100
"""Most missed times that are made up for; if there are more, the latest ones."""
_LOOKED_AT = 12
# croniter accepts extensions (`L`, `#`, `H`, `R`, `?`) that NCRONTAB does not have.
FIELD = re.compile(r"(?:\*|\d+|[A-Za-z]{3,9})(?:[-/,](?:\*|\d+|[A-Za-z]{3,9}))*")
"""Allowed form of a field of an expression."""


class Missed(StrEnum):
    """What to do about due times that were missed because the app or the queue was down."""

    SKIP = "skip"  # submit nothing
    LATEST = "latest"  # submit one run, for the last of them
    ALL = "all"  # submit a run for each, up to MOST_AT_ONCE


@dataclass(frozen=True, slots=True)
class Cron:
    """When a schedule is due.

    Attributes:
        expression: NCRONTAB, of six fields.
        time_zone: An IANA name, like `Europe/Berlin`.
    """

    expression: str
    time_zone: str

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the due times after the moment, aware UTC; endless, unless there are no more."""
        from croniter import CroniterBadDateError, croniter  # noqa: PLC0415 - few workers ever need it

        zone = ZoneInfo(self.time_zone)
        times = croniter(self.expression, moment.astimezone(zone), second_at_beginning=True, day_or=False)
        fixed_hour = not re.search(r"[*/]", self.expression.split()[2])
        while True:
            try:
                found: datetime = times.get_next(datetime)
            except CroniterBadDateError:
                return
            if fixed_hour and found.astimezone(UTC).astimezone(zone).fold:
                continue
            yield found.astimezone(UTC)


def parse_cron(expression: str, time_zone: str, now: datetime) -> Cron:
    """Return the parsed schedule.

    Raises:
        InvalidInput: It is not an NCRONTAB expression (`invalid_cron`), never due (`never_due`), due more than once a
            minute (`too_frequent`), or the time zone is unknown (`invalid_time_zone`).
    """
    from croniter import croniter  # noqa: PLC0415 - see Cron.after

    fields = expression.split()
    rule = "NCRONTAB: {second} {minute} {hour} {day} {month} {day of week}, or the same without seconds"
    if len(expression) > 200 or len(fields) not in {5, 6} or not all(map(FIELD.fullmatch, fields)):
        raise _wrong("invalid_cron", "cron", rule)
    whole = " ".join(fields if len(fields) == 6 else ["0", *fields])
    try:
        croniter(whole, second_at_beginning=True, day_or=False)
    except (ValueError, KeyError):
        raise _wrong("invalid_cron", "cron", rule) from None
    if not _known(time_zone):
        raise _wrong("invalid_time_zone", "time_zone", "an IANA name like Europe/Berlin, or UTC")
    cron = Cron(whole, time_zone)
    times = list(itertools.islice(cron.after(now), _LOOKED_AT))
    if not times:
        raise _wrong("never_due", "cron", "an expression that matches some date")
    if any(later - earlier < LEAST_APART for earlier, later in itertools.pairwise(times)):
        raise _wrong("too_frequent", "cron", "due once a minute at most")
    return cron


def _known(time_zone: str) -> bool:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}", time_zone):
        return False
    try:
        ZoneInfo(time_zone)
    except (OSError, ValueError):  # an unknown name raises a KeyError, a folder's name an OSError
        return False
    except KeyError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about a due schedule.

    Attributes:
        submit: The due times to submit runs for, in order.
        missed: Number of times that are not made up for.
        next_at: When it is due next, aware UTC; None for never.
    """

    submit: Sequence[datetime]
    missed: int
    next_at: datetime | None


def plan(cron: Cron, due_at: datetime, missed: Missed, now: datetime) -> Plan:
    """Return what to do about a schedule that has been due since `due_at`."""
    times = [due_at, *itertools.takewhile(lambda at: at <= now, cron.after(due_at))]
    kept = [at for at in times if now - at <= ON_TIME]
    if missed is Missed.ALL:
        kept = times[-MOST_AT_ONCE:]
    elif missed is Missed.LATEST and not kept:
        kept = times[-1:]
    return Plan(kept, len(times) - len(kept), next(cron.after(max(now, due_at)), None))


def _wrong(code: str, field: str, rule: str) -> InvalidInput:
    return InvalidInput(f"{field} is to be {rule}.", code=code, fields={f"/{field}": rule})


_MOST = (59, 59, 23, 31, 12, 7)
"""The largest value of each field."""
_EARLY = timedelta(seconds=1)
"""How long before its due time a run may begin, as clocks differ."""
_LATE = timedelta(minutes=5)
"""How long ago the first due time of a timer that has never run may be; else it starts with its next one."""


def covering(schedules: Mapping[str, str]) -> str:
    """Return the schedule of a function that runs timers with these schedules: often enough for each.

    Each field is the union of theirs. If each schedule has a single second, the latest of these is used: the function
    then runs once a minute for all.

    Args:
        schedules: The schedules by the names of their settings.

    Raises:
        InvalidSettings: One is not an NCRONTAB expression.
    """
    seconds, *others = zip(*(_checked(name, text) for name, text in schedules.items()), strict=True)
    once = all(each.isdigit() for each in seconds)
    first = str(max(map(int, seconds))) if once else _any_of(seconds)
    return " ".join([first, *map(_any_of, others)])


def is_due(expression: str, began_at: datetime | None, now: datetime) -> bool:
    """Return whether a timer is due that last began at `began_at` (None for never)."""
    since = now - _LATE if began_at is None else began_at
    following = next(_cron(expression).after(since), None)
    return following is not None and following <= now


def until_next(expressions: Iterable[str], now: datetime) -> timedelta | None:
    """Return how long it is until a timer of one of these schedules is due; None if none ever is."""
    following = [next(_cron(expression).after(now), None) for expression in expressions]
    return min((moment - now for moment in following if moment is not None), default=None)


def next_due_after(expression: str, began_at: datetime) -> timedelta | None:
    """Return how long after a run began the timer is due again; None if it never is.

    A run may begin a moment before its due time, which then is not its next one.
    """
    following = next(_cron(expression).after(began_at + _EARLY), None)
    return None if following is None else following - began_at


def _fields(expression: str) -> list[str]:
    fields = expression.split()
    return fields if len(fields) == 6 else ["0", *fields]


def _checked(name: str, expression: str) -> Sequence[str]:
    fields = _fields(expression)
    right = len(fields) == 6 and all(
        FIELD.fullmatch(field) and all(int(number) <= most for number in re.findall(r"[0-9]+", field))
        for field, most in zip(fields, _MOST, strict=True)
    )
    if not right:
        msg = f"{name}: {expression!r} is not an NCRONTAB expression of five or six fields"
        raise InvalidSettings(msg)
    return fields


def _any_of(choices: Sequence[str]) -> str:
    several = list(dict.fromkeys(choices))
    return "*" if "*" in several else ",".join(several)


def _cron(expression: str) -> Cron:
    return Cron(" ".join(_fields(expression)), "UTC")
