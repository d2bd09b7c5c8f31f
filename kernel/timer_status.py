"""When each timer last succeeded and failed: what is due follows from it, and one that has stopped is noticed.

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
        succeeded_at: When its last run that succeeded began; None for never.
        every: How often it runs; None where that is not known.
        failed_at: When its last run that failed began; None for never.
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

    @property
    def began_at(self) -> datetime | None:
        """When it last ran, whatever came of it; None for never."""
        return max((at for at in (self.succeeded_at, self.failed_at) if at is not None), default=None)

    def overdue(self, now: datetime) -> bool:
        """Return whether it should have succeeded again by now."""
        return self.succeeded_at is not None and now > self.succeeded_at + (self.every or _RARELY) + _GRACE


@dataclass(frozen=True, slots=True)
class TimerRun:
    """One time that a timer ran.

    Attributes:
        timer: Its name.
        at: When it began.
        every: How often it runs; None where its schedule does not say.
        failure: Why it failed, as a stable code or the kind of exception; None where it succeeded.
    """

    timer: str
    at: datetime
    every: timedelta | None = None
    failure: str | None = None


class TimerStatusStore:
    """Keeps the status of timers."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def note(self, runs: Sequence[TimerRun]) -> None:
        """Note what became of timers that ran, at most 100, in one transaction."""
        if runs:
            await self._tables.commit(TABLE, [Upsert(_row(run)) for run in runs])

    async def all(self) -> Sequence[TimerStatus]:
        """Return the status of all timers that have run, by name."""
        rows = {row.key: row async for row in every(self._tables, TABLE, Span(TABLE))}
        return [_status(name, rows) for name in sorted({key.removesuffix(_FAILED) for key in rows})]


def _row(run: TimerRun) -> Row:
    if run.failure is not None:
        return Row(TABLE, run.timer + _FAILED, {"at": run.at, "failure": run.failure})
    return Row(TABLE, run.timer, {"at": run.at, "every_s": run.every.total_seconds() if run.every else None})


def _status(timer: str, rows: Mapping[str, Row]) -> TimerStatus:
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
