"""Time spans as .NET reads them (`hh:mm:ss`, `d.hh:mm:ss`), the form of host.json, schedules and retries."""

import re
from datetime import timedelta

_TIME_SPAN = re.compile(
    r"(?P<negative>-)?(?:(?P<days>\d+)\.)?(?P<hours>\d+):(?P<minutes>\d{1,2})(?::(?P<seconds>\d{1,2})(?:\.(?P<fraction>\d{1,7}))?)?"
)


def parse_timespan(text: str) -> timedelta:
    """Return the duration of a .NET time span.

    Hours above 23 are *days* to .NET: `24:00:00` is twenty-four days, a known trap of host.json that is reproduced.

    Args:
        text: `[-][d.]hh:mm[:ss[.fffffff]]`.

    Raises:
        ValueError: The text is not a time span.
    """
    match = _TIME_SPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a time span (hh:mm:ss)")
    parts = {
        name: int(value) for name, value in match.groupdict(default="0").items() if name not in {"negative", "fraction"}
    }
    if parts["hours"] > 23 and not match["days"]:
        parts = {"days": parts["hours"], "hours": parts["minutes"], "minutes": parts["seconds"], "seconds": 0}
    if parts["hours"] > 23 or parts["minutes"] > 59 or parts["seconds"] > 59:
        raise ValueError(f"{text!r} is not a time span (hh:mm:ss)")
    fraction = (match["fraction"] or "").ljust(6, "0")[:6]
    span = timedelta(**parts, microseconds=int(fraction))
    return -span if match["negative"] else span
