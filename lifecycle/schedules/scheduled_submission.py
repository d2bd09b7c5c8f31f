"""Submits the runs of due schedules: each once, also after crashes.

A run's id is derived from the schedule's name and the due time, so submitting it again gives the same run. The
schedule's row is updated after its runs are submitted, and the index after the row.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.clock import rfc3339
from kernel.errors import AppError
from kernel.ids import run_id
from kernel.lazy_dataclass import dataclass
from lifecycle.schedules.schedule_rules import plan
from lifecycle.schedules.store import LastDue

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.due_index import DueThing, DueTimes
    from lifecycle.conversations.run_request import Send
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.runs.run_submission import Accepted, RunSubmission
    from lifecycle.schedules.store import Schedule, Schedules

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ScheduleRound:
    """Counts of one round: runs submitted, due times without a run, and missed times."""

    submitted: int = 0
    refused: int = 0
    missed: int = 0

    def __add__(self, other: ScheduleRound) -> ScheduleRound:
        return ScheduleRound(self.submitted + other.submitted, self.refused + other.refused, self.missed + other.missed)


def scheduled_run_id(workspace: str, name: str, due_at: datetime) -> str:
    """Return the id of the run for a schedule's due time."""
    return run_id(workspace, f"schedule {name} {rfc3339(due_at)}")


class ScheduleRunner:
    """Submits runs of due schedules."""

    def __init__(self, schedules: Schedules, due: DueTimes, intake: RunSubmission, clock: Clock) -> None:
        self._schedules = schedules
        self._due = due
        self._intake = intake
        self._clock = clock

    async def run(self, signals: AgentSignals, send: Send) -> ScheduleRound:
        """Submit the runs of all due schedules."""
        done = ScheduleRound()
        now = self._clock()
        async for entry in self._due.until(now):
            try:
                done += await self._process_due(entry, now, signals, send)
            except AppError as error:
                # One schedule's failure must not stop the others; it is tried again in the next round.
                log.warning("schedule %s: %s", entry.name, error.code, extra={"event": "schedule.postponed"})
        return done

    async def _process_due(self, entry: DueThing, now: datetime, signals: AgentSignals, send: Send) -> ScheduleRound:
        workspace, name = entry.workspace, entry.name
        found = await self._schedules.stored(workspace, name)
        due_at = found.schedule.next_at if found else None
        if found is None or due_at is None or due_at > now:
            if due_at is not None:
                await self._due.add(workspace, name, due_at)  # a crash may have come before this
            if entry.outlasted(now):
                await self._due.drop(entry)
            return ScheduleRound()
        schedule, done = await self._submit(workspace, found.schedule, due_at, now, signals, send)
        if not await self._schedules.replace(workspace, schedule, found.etag):
            return done  # changed by a user or another worker: the next round checks again
        if schedule.next_at is not None:
            await self._due.add(workspace, name, schedule.next_at)
        await self._due.drop(entry)
        return done

    async def _submit(
        self, workspace: str, schedule: Schedule, due_at: datetime, now: datetime, signals: AgentSignals, send: Send
    ) -> tuple[Schedule, ScheduleRound]:
        planned = plan(schedule.cron, due_at, schedule.missed, now)
        last, refused = schedule.last, 0
        for at in planned.submit:
            ident = scheduled_run_id(workspace, schedule.name, at)
            error: str | None = None
            try:
                await self._accept(workspace, schedule, ident, signals, send)
            except AppError as failure:
                if failure.retriable:
                    raise
                if (
                    failure.code != "idempotency_conflict"
                ):  # a conflict: it was submitted before the schedule was changed
                    error, refused = failure.code, refused + 1
                    text = "schedule %s of %s: no run for %s: %s"
                    values = (schedule.name, workspace, rfc3339(at), failure.code)
                    log.warning(text, *values, extra={"event": "schedule.refused"})
            last = LastDue(at, ident, error)
        after = replace(
            schedule, next_at=planned.next_at, last=last, missed_times=schedule.missed_times + planned.missed
        )
        return after, ScheduleRound(len(planned.submit) - refused, refused, planned.missed)

    async def _accept(
        self, workspace: str, schedule: Schedule, ident: str, signals: AgentSignals, send: Send
    ) -> Accepted:
        return await self._intake.submit(workspace, schedule.agent, schedule.run, ident, signals, send)
