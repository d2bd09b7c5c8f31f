"""Request and response models of schedules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from lifecycle.conversations.run_request import RunRequest
from lifecycle.schedules.schedule_rules import Missed
from lifecycle.schedules.store import ScheduleRequest
from triggers.http.base_models import Body, Page, View


class ScheduleBody(Body):
    """The agent, the query and the times: `cron` is an NCRONTAB expression, evaluated in `time_zone`.

    `missed` determines what happens with times at which nothing could be submitted: `skip` drops them, `latest` catches
    up on the last one, `all` on up to 100.
    """

    agent: str
    run: RunRequest
    cron: str
    time_zone: str = "UTC"
    missed: Missed = Missed.LATEST
    paused: bool = False

    def request(self) -> ScheduleRequest:
        """Return the request."""
        return ScheduleRequest(self.agent, self.run, self.cron, self.time_zone, self.missed, self.paused)


class LastDueView(View):
    """The latest time that a schedule was due: the run of it, or the error code why there is none."""

    due_at: datetime
    run_id: str
    error: str | None


class ScheduleView(View):
    """A schedule; `next_at` are the next times that it is due, empty while it is paused.

    `run` is returned without its callback, whose address may be a secret; `has_callback` says whether there is one.
    """

    name: str
    agent: str
    run: RunRequest
    has_callback: bool
    cron: str
    time_zone: str
    missed: Missed
    paused: bool
    next_at: Sequence[datetime]
    last: LastDueView | None
    missed_times: int
    created_at: datetime
    updated_at: datetime


class SchedulePage(Page[ScheduleView]):
    """Schedules by name."""
