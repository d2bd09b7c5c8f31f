"""Response models of timers."""

from __future__ import annotations

from datetime import datetime

from triggers.http.base_models import Page, View


class TimerView(View):
    """A timer of the app.

    Attributes:
        name: Its name.
        setting: The setting with its schedule.
        schedule: Its schedule: an NCRONTAB expression, in UTC.
        succeeded_at: Start of its last successful run; null for never.
        failed_at: Start of its last failed run; null for never.
        failure: Reason of that failure, a stable code or the type of the exception; empty for never.
        overdue: Whether it should have succeeded again by now.
    """

    name: str
    setting: str
    schedule: str
    succeeded_at: datetime | None
    failed_at: datetime | None
    failure: str
    overdue: bool


class TimerPage(Page[TimerView]):
    """The app's timers."""


class TimerRunView(View):
    """The result of running a timer.

    Attributes:
        name: The timer's name.
        done: What it did, as a sentence.
    """

    name: str
    done: str
