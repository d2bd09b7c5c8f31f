"""The timer trigger: fires on schedule, never overlaps, catches up once, retries by policy."""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from devhost import datums
from devhost.context import RetryContext
from devhost.index import Function, RetryPolicy
from devhost.invoke import Dispatcher
from devhost.ncrontab import Schedule
from devhost.settings import read_json
from devhost.timespan import parse_timespan

_log = logging.getLogger("devhost.timer")


@dataclass(frozen=True)
class Status:
    """The stored state of a timer between starts."""

    last: datetime | None
    next: datetime
    updated: datetime


class StatusFile:
    """The statuses of all timers in one JSON file, replaced atomically."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, function: str) -> Status | None:
        """Return a timer's status; None if none was stored."""
        stored = read_json(self._path).get(function)
        if not stored:
            return None
        last = stored.get("Last")
        return Status(
            datetime.fromisoformat(last) if last else None,
            *map(datetime.fromisoformat, (stored["Next"], stored["LastUpdated"])),
        )

    def write(self, function: str, status: Status) -> None:
        """Store a timer's status."""
        content: dict[str, Any] = read_json(self._path)
        last = status.last.isoformat() if status.last else None
        content[function] = {"Last": last, "Next": status.next.isoformat(), "LastUpdated": status.updated.isoformat()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._path.with_suffix(".tmp")
        scratch.write_text(json.dumps(content, indent=2), encoding="utf-8")
        scratch.replace(self._path)


def is_past_due(schedule: Schedule, status: Status | None, now: datetime) -> bool:
    """Return whether an occurrence was missed while the host was down; never after a change of the schedule."""
    if status is None:
        return False
    expected = schedule.next_after((status.last or status.updated).astimezone(now.tzinfo))
    after_update = schedule.next_after(status.updated.astimezone(now.tzinfo))
    return status.next in {expected, after_update} and status.next < now


def retry_delay(policy: RetryPolicy, attempt: int) -> timedelta:
    """Return the pause before retry number `attempt` (from 1)."""
    if policy.strategy == "fixed_delay":
        return parse_timespan(policy.settings["delay_interval"])
    low = parse_timespan(policy.settings.get("minimum_interval", "00:00:00"))
    high = parse_timespan(policy.settings.get("maximum_interval", "1.00:00:00"))
    return min(high, max(low, timedelta(seconds=1)) * 2 ** min(attempt - 1, 32))


class TimerTrigger:
    """Runs one timer function on its schedule."""

    def __init__(
        self,
        function: Function,
        schedule: Schedule,
        statuses: StatusFile,
        invoker: Dispatcher,
        now: Callable[[], datetime],
    ) -> None:
        """Prepare a timer.

        Args:
            function: The timer-triggered function.
            schedule: Its parsed schedule.
            statuses: Stores its status.
            invoker: Runs it.
            now: Returns the current time, aware, in the time zone of the schedule.
        """
        self._function = function
        self._schedule = schedule
        self._statuses = statuses
        self._invoker = invoker
        self._now = now
        # As in the host, a schedule that fires more than once a minute keeps no status.
        self._monitored = bool(function.trigger.get("useMonitor", True)) and not schedule.is_frequent(now())
        self._status: Status | None = None
        # Scheduled runs and those by the admin API take turns: a timer never overlaps with itself.
        self._turn = asyncio.Lock()
        self._stopping = asyncio.Event()

    @property
    def name(self) -> str:
        """The function's name."""
        return self._function.name

    def quiesce(self) -> None:
        """Fire no more; a running execution continues."""
        self._stopping.set()

    async def run(self) -> None:
        """Fire at every occurrence until `quiesce`."""
        self._status = self._statuses.read(self._function.name) if self._monitored else None
        past_due = is_past_due(self._schedule, self._status, self._now())
        if past_due or self._function.trigger.get("runOnStartup"):
            await self._fire(past_due=past_due, about="timer at start-up", quiet=True)
        while not self._stopping.is_set():
            due = self._schedule.next_after(self._now())
            if self._monitored and (self._status is None or self._status.next != due):
                self._keep(self._status.last if self._status else None, due)
            while (wait_s := (due - self._now()).total_seconds()) > 0:
                # Short sleeps follow the wall clock when a laptop was suspended.
                if await self._nap(min(wait_s, 30.0)):
                    return
            await self._fire(past_due=False, about="timer", quiet=True)

    async def run_now(self, _text: str = "") -> None:
        """Run outside the schedule, once a running execution has ended."""
        await self._fire(past_due=False, about="run through /admin", quiet=False)

    async def _fire(self, *, past_due: bool, about: str, quiet: bool) -> None:
        async with self._turn:
            started = self._now()
            due = self._schedule.next_after(started)
            status = self._status
            value = datums.timer(
                last=status.last if status else None,
                next_=due,
                updated=status.updated if status else None,
                past_due=past_due,
                has_status=self._monitored,
            )
            await self._execute(value, about, quiet=quiet)
            if self._monitored:
                self._keep(started, self._schedule.next_after(self._now()))

    async def _execute(self, value: Any, about: str, *, quiet: bool) -> None:
        policy = self._function.retry
        limit = policy.max_retry_count if policy else 0
        attempt = 0
        while True:
            outcome = await self._invoker.invoke(
                self._function, value, about=about, quiet=quiet, retry=RetryContext(attempt, limit)
            )
            if outcome.error is None or policy is None or (limit >= 0 and attempt >= limit):
                return
            attempt += 1
            delay = retry_delay(policy, attempt)
            _log.warning("%s: retry %d in %s", self._function.name, attempt, delay)
            if await self._nap(delay.total_seconds()):
                return

    async def _nap(self, seconds: float) -> bool:
        """Sleep, and return whether the timer was stopped meanwhile."""
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _keep(self, last: datetime | None, due: datetime) -> None:
        self._status = Status(last, due, self._now())
        self._statuses.write(self._function.name, self._status)
