"""When the app's own timers are due, several of which are run by one function. Pure; time is an argument.

Their schedules are NCRONTAB expressions in UTC. What waits for the next time that the function runs is late by a minute
at most; what was missed while the app was down is made up for once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice

from kernel.settings import InvalidSettings
from lifecycle.schedules.rules import FIELD, Cron

_MOST = (59, 59, 23, 31, 12, 7)
"""The largest number of each field."""
_LATE = timedelta(minutes=5)
"""How old a time may be at which a timer was due that has never run: then it begins with its next one."""


def covering(schedules: Mapping[str, str]) -> str:
    """Return the schedule of a function that runs timers of these schedules: often enough for each.

    It is field by field what any of them has. Seconds are the latest of them where each has one second of the minute:
    then the function runs once in a minute for all.

    Args:
        schedules: The schedules by the settings that say them.

    Raises:
        InvalidSettings: One is no NCRONTAB expression.
    """
    seconds, *others = zip(*(_checked(name, text) for name, text in schedules.items()), strict=True)
    once = all(each.isdigit() for each in seconds)
    first = str(max(map(int, seconds))) if once else _any_of(seconds)
    return " ".join([first, *map(_any_of, others)])


def is_due(expression: str, began_at: datetime | None, now: datetime) -> bool:
    """Return whether a timer that last began then is to run; None for one that never did."""
    since = now - _LATE if began_at is None else began_at
    following = next(_cron(expression).after(since), None)
    return following is not None and following <= now


def until_next(expressions: Iterable[str], now: datetime) -> timedelta | None:
    """Return how long it is until a timer of one of these schedules is due; None where none ever is."""
    following = [next(_cron(expression).after(now), None) for expression in expressions]
    return min((moment - now for moment in following if moment is not None), default=None)


def interval(expression: str, now: datetime) -> timedelta | None:
    """Return how long after the next time a timer is due again; None where it is not."""
    times = list(islice(_cron(expression).after(now), 2))
    return times[1] - times[0] if len(times) == 2 else None


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
        msg = f"{name}: {expression!r} is no NCRONTAB expression of five or six fields"
        raise InvalidSettings(msg)
    return fields


def _any_of(choices: Sequence[str]) -> str:
    several = list(dict.fromkeys(choices))
    return "*" if "*" in several else ",".join(several)


def _cron(expression: str) -> Cron:
    return Cron(" ".join(_fields(expression)), "UTC")
