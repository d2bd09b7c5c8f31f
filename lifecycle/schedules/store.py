"""Storage of schedules: which agents are asked what, and when.

Table `schedules`, partition = workspace, row key = name. The index `due` has each schedule's next due time.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.codec import JsonCodec, all_readable
from kernel.errors import Conflict, EtagMismatch, InvalidInput, NotFound
from kernel.ids import agent_name
from kernel.lazy_dataclass import dataclass
from kernel.preconditions import change_row, check_match, delete_row, write_row
from kernel.tables import Row, Span, Tables, Write, every, put
from lifecycle.conversations.run_request import RunRequest
from lifecycle.schedules.schedule_rules import Cron, Missed, parse_cron

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.due_index import DueTimes
    from lifecycle.registry.catalog import Catalog

TABLE = "schedules"
MOST = 200
"""Most schedules of a workspace."""


@dataclass(frozen=True, slots=True)
class LastDue:
    """Result of a schedule's latest due time: its run, or a code for why there is none."""

    due_at: datetime
    run_id: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ScheduleRequest:
    """A schedule as given by a user; see `Schedule`."""

    agent: str
    run: RunRequest
    cron: str
    time_zone: str = "UTC"
    missed: Missed = Missed.LATEST
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """An agent's run that is submitted at set times.

    Attributes:
        name: Its name in the workspace.
        agent: The agent to ask.
        run: The request.
        cron: The due times.
        missed: What to do about missed times.
        paused: Whether it is paused; times while it is paused do not count as missed.
        revision: Number of changes by users, from 1.
        created_at: When it was created, aware UTC.
        updated_at: When a user last changed it, aware UTC.
        next_at: When it is due next, aware UTC; None while paused, and for never.
        last: Result of the latest due time; None before the first.
        missed_times: Number of missed times that were not made up for.
    """

    name: str
    agent: str
    run: RunRequest
    cron: Cron
    missed: Missed
    paused: bool
    revision: int
    created_at: datetime
    updated_at: datetime
    next_at: datetime | None
    last: LastDue | None = None
    missed_times: int = 0

    @property
    def etag(self) -> str:
        """The revision as an HTTP entity tag."""
        return f'"{self.revision}"'

    def coming(self, now: datetime, count: int) -> Sequence[datetime]:
        """Return the next due times, at most `count`."""
        if self.next_at is None:
            return []
        following = self.cron.after(max(self.next_at, now))
        return [self.next_at, *itertools.islice(following, count - 1)]


def changed(current: Schedule | None, name: str, wanted: ScheduleRequest, now: datetime) -> Schedule:
    """Return the schedule with the user's changes; the current one if nothing changes.

    Raises:
        InvalidInput: It is not valid.
    """
    cron = parse_cron(wanted.cron, wanted.time_zone, now)
    next_at = None if wanted.paused else next(cron.after(now), None)
    if current is None:
        return Schedule(
            name, wanted.agent, wanted.run, cron, wanted.missed, wanted.paused, 1, now, now, next_at=next_at
        )
    same_times = cron == current.cron and wanted.paused == current.paused
    made = replace(
        current,
        agent=wanted.agent,
        run=wanted.run,
        cron=cron,
        missed=wanted.missed,
        paused=wanted.paused,
        next_at=current.next_at if same_times else next_at,
    )
    return current if made == current else replace(made, revision=current.revision + 1, updated_at=now)


_SCHEDULE = JsonCodec(Schedule)


@dataclass(frozen=True, slots=True)
class StoredSchedule:
    """A schedule as read, and its ETag."""

    schedule: Schedule
    etag: str


class Schedules:
    """Stores and reads schedules."""

    def __init__(self, tables: Tables, catalog: Catalog, due: DueTimes, clock: Clock) -> None:
        self._tables = tables
        self._catalog = catalog
        self._due = due
        self._clock = clock

    async def put(
        self, workspace: str, name: str, wanted: ScheduleRequest, if_match: str | None = None
    ) -> tuple[Schedule, bool]:
        """Store the schedule, and return it and whether it is new. Storing the same again changes nothing.

        Raises:
            InvalidInput: It is not valid, or there is no such agent (code `unknown_agent`).
            EtagMismatch: `if_match` is given and the schedule was changed since, or does not exist.
            Conflict: The workspace has the maximum number of schedules (code `too_many_schedules`).
        """
        await self._check_agent(workspace, agent_name(wanted.agent))

        async def decide(stored: Row | None) -> tuple[tuple[Schedule, bool], Sequence[Write]]:
            current = _read(stored) if stored else None
            check_match(if_match, current.etag if current else None)
            schedule = changed(current, name, wanted, self._clock())
            if schedule == current:
                return (schedule, False), ()
            if current is None and len(await self.list(workspace)) >= MOST:
                raise Conflict(f"A workspace has at most {MOST} schedules.", code="too_many_schedules")
            if schedule.next_at is not None:
                await self._due.add(workspace, name, schedule.next_at)
            return (schedule, current is None), [put(_row(workspace, schedule, stored.etag if stored else ""))]

        done, _ = await change_row(self._tables, TABLE, (workspace, name), decide)
        return done

    async def _check_agent(self, workspace: str, name: str) -> None:
        agent = await self._catalog.find(workspace, name)
        if agent is None or agent.declaration.deleted:
            msg = f"There is no agent {name!r}."
            raise InvalidInput(msg, code="unknown_agent", fields={"/agent": msg})

    async def replace(self, workspace: str, schedule: Schedule, etag: str) -> bool:
        """Store the schedule, in place of the one with the ETag; return whether it is the one that is stored now."""
        return await write_row(self._tables, TABLE, _row(workspace, schedule, etag)) is not None

    async def stored(self, workspace: str, name: str) -> StoredSchedule | None:
        """Return the schedule as stored; None if it does not exist."""
        row = await self._tables.get(TABLE, workspace, name)
        return StoredSchedule(_read(row), row.etag) if row else None

    async def get(self, workspace: str, name: str) -> Schedule:
        """Return the schedule.

        Raises:
            NotFound: It does not exist.
        """
        if (found := await self.stored(workspace, name)) is None:
            raise _missing(name)
        return found.schedule

    async def list(self, workspace: str) -> Sequence[Schedule]:
        """Return the workspace's schedules by name."""
        rows = every(self._tables, TABLE, Span(workspace))
        return [one async for one in all_readable(rows, _read, "schedule")]

    async def delete(self, workspace: str, name: str, if_match: str | None = None) -> None:
        """Delete the schedule; runs that it has submitted continue.

        Raises:
            NotFound: It does not exist.
            EtagMismatch: `if_match` is given and the schedule was changed since.
        """
        place = (workspace, name)
        await delete_row(self._tables, TABLE, place, if_match, _missing(name), etag_of=lambda row: _read(row).etag)

    async def forget_user(self, workspace: str, user_id: str) -> int:
        """Delete the schedules whose request names the user, and return how many."""
        count = 0
        for schedule in await self.list(workspace):
            if schedule.run.user_id == user_id:
                count += 1
                # A schedule that was changed meanwhile is checked again; those deleted are looked up once more.
                with contextlib.suppress(NotFound, EtagMismatch):
                    await self.delete(workspace, schedule.name, schedule.etag)
        return count


def _read(row: Row) -> Schedule:
    return _SCHEDULE.load(row.text("schedule"))


def _row(workspace: str, schedule: Schedule, etag: str) -> Row:
    return Row(workspace, schedule.name, {"schedule": _SCHEDULE.dump(schedule)}, etag)


def _missing(name: str) -> NotFound:
    return NotFound(f"There is no schedule {name!r}.", code="schedule_not_found")
