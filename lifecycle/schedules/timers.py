"""When the app's own timers are due; one function runs several of them. Pure; the time is an argument.

Schedules are NCRONTAB expressions in UTC. A timer runs at most a minute late, as it waits for the function's next run;
times missed while the app was down are made up for once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice

from kernel.settings import InvalidSettings
from lifecycle.schedules.rules import FIELD, Cron

_MOST = (59, 59, 23, 31, 12, 7)
"""The largest value of each field."""
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


def interval(expression: str, now: datetime) -> timedelta | None:
    """Return the time between a timer's next two due times; None if there are none."""
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
        msg = f"{name}: {expression!r} is not an NCRONTAB expression of five or six fields"
        raise InvalidSettings(msg)
    return fields


def _any_of(choices: Sequence[str]) -> str:
    several = list(dict.fromkeys(choices))
    return "*" if "*" in several else ",".join(several)


def _cron(expression: str) -> Cron:
    return Cron(" ".join(_fields(expression)), "UTC")
