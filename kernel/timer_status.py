"""When each timer last succeeded and failed, so that one that has stopped is noticed.

Table `timers`, partition `timers`, row `{timer}` its last success, row `{timer}!failed` its last failure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kernel.tables import Row, Span, Tables, Upsert, every

TABLE = "timers"
_FAILED = "!failed"
_GRACE = timedelta(minutes=5)
"""How late a timer may be: it starts late after a cold start, and takes its time."""
_RARELY = timedelta(hours=1)
"""How often a timer is taken to run of which it is not known."""


@dataclass(frozen=True, slots=True)
class TimerStatus:
    """What is known of a timer.

    Attributes:
        timer: Its name.
        succeeded_at: When it last succeeded; None for never.
        every: How often it runs; None where that is not known.
        failed_at: When it last failed; None for never.
        failure: Why, as a stable code or the kind of exception.
    """

    timer: str
    succeeded_at: datetime | None = None
    every: timedelta | None = None
    failed_at: datetime | None = None
    failure: str = ""

    @property
    def failing(self) -> bool:
        """Whether its last run failed."""
        return self.failed_at is not None and (self.succeeded_at is None or self.failed_at > self.succeeded_at)

    def overdue(self, now: datetime) -> bool:
        """Return whether it should have succeeded again by now."""
        return self.succeeded_at is not None and now > self.succeeded_at + (self.every or _RARELY) + _GRACE


class TimerStatusStore:
    """Keeps the status of timers."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def succeeded(self, timer: str, at: datetime, every: timedelta | None) -> None:
        """Note that the timer has just done its work, and how often it runs; None leaves what was known of that."""
        seconds: float | None = every.total_seconds() if every else None
        if seconds is None and (row := await self._tables.get(TABLE, TABLE, timer)) is not None:
            seconds = _seconds(row)
        await self._tables.commit(TABLE, [Upsert(Row(TABLE, timer, {"at": at, "every_s": seconds}))])

    async def failed(self, timer: str, at: datetime, failure: str) -> None:
        """Note that the timer could not do its work."""
        await self._tables.commit(TABLE, [Upsert(Row(TABLE, timer + _FAILED, {"at": at, "failure": failure}))])

    async def all(self) -> Sequence[TimerStatus]:
        """Return the status of all timers that have run, by name."""
        rows = {row.key: row async for row in every(self._tables, TABLE, Span(TABLE))}
        return [_heartbeat(name, rows) for name in sorted({key.removesuffix(_FAILED) for key in rows})]


def _heartbeat(timer: str, rows: Mapping[str, Row]) -> TimerStatus:
    succeeded, failed = rows.get(timer), rows.get(timer + _FAILED)
    return TimerStatus(
        timer,
        succeeded.moment("at") if succeeded else None,
        timedelta(seconds=seconds) if succeeded and (seconds := _seconds(succeeded)) else None,
        failed.moment("at") if failed else None,
        failed.text("failure") if failed else "",
    )


def _seconds(row: Row) -> float | None:
    value = row.values.get("every_s")
    return float(value) if isinstance(value, int | float) else None
