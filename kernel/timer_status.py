"""When each timer last succeeded and failed; shows which are due, and which have stopped.

Table `timers`, partition `timers`, row `{timer}` its last success, row `{timer}!failed` its last failure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from kernel.lazy_dataclass import dataclass
from kernel.tables import Row, Span, Tables, Upsert, every

TABLE = "timers"
_FAILED = "!failed"
_GRACE = timedelta(minutes=5)
"""How late a timer may be: cold starts and its own run take time."""
_RARELY = timedelta(hours=1)
"""Assumed interval of a timer whose schedule is unknown."""


@dataclass(frozen=True, slots=True)
class TimerStatus:
    """Status of a timer.

    Attributes:
        timer: Its name.
        succeeded_at: When its last successful run began, aware UTC; None for never.
        every: How long after its last successful run it is due again; None if unknown.
        failed_at: When its last failed run began, aware UTC; None for never.
        failure: Stable code of the failure, or the exception's type.
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
        """When it last ran, successfully or not; None for never."""
        return max((at for at in (self.succeeded_at, self.failed_at) if at is not None), default=None)

    def overdue(self, now: datetime) -> bool:
        """Return whether it should have succeeded again by now."""
        return self.succeeded_at is not None and now > self.succeeded_at + (self.every or _RARELY) + _GRACE


@dataclass(frozen=True, slots=True)
class TimerRun:
    """One run of a timer.

    Attributes:
        timer: Its name.
        at: When it began, aware UTC.
        every: How long after `at` it is due again; None if it never is.
        failure: Stable code of the failure, or the exception's type; None after a success.
    """

    timer: str
    at: datetime
    every: timedelta | None = None
    failure: str | None = None


class TimerStatusStore:
    """Stores the status of timers."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def note(self, runs: Sequence[TimerRun]) -> None:
        """Store the results of at most 100 timer runs, in one transaction."""
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
