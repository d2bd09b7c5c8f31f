"""What the API takes and answers of schedules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from lifecycle.conversations.submission import RunRequest
from lifecycle.schedules.rules import Missed
from lifecycle.schedules.store import ScheduleRequest
from triggers.http.views import Body, Page, View


class ScheduleBody(Body):
    """Whom to ask what, and when: `cron` is an NCRONTAB expression, its times are those of `time_zone`.

    `missed` says what becomes of times at which nothing could be submitted: `skip` drops them, `latest` makes up for
    the last one, `all` for up to 100.
    """

    agent: str
    run: RunRequest
    cron: str
    time_zone: str = "UTC"
    missed: Missed = Missed.LATEST
    paused: bool = False

    def request(self) -> ScheduleRequest:
        """Return what the user wants."""
        return ScheduleRequest(self.agent, self.run, self.cron, self.time_zone, self.missed, self.paused)


class LastDueView(View):
    """The latest time that a schedule was due: the run of it, or why it gave none, as a code."""

    due_at: datetime
    run_id: str
    error: str | None


class ScheduleView(View):
    """A schedule; `next_at` are the next times that it is due, none while it is paused.

    `run` is shown without its callback, whose address may be a secret; `has_callback` says whether there is one.
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
