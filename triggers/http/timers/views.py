"""What the API answers of timers."""

from __future__ import annotations

from datetime import datetime

from triggers.http.views import Page, View


class TimerView(View):
    """What the app does by itself.

    Attributes:
        name: Its name.
        setting: The setting that says when it runs.
        schedule: What it says: an NCRONTAB expression, in UTC.
        succeeded_at: When its last run that succeeded began; null for never.
        failed_at: When its last run that failed began; null for never.
        failure: Why that failed, as a stable code or the kind of exception; empty for never.
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
    """What a timer did.

    Attributes:
        name: The timer's name.
        done: What it did, as a sentence for people.
    """

    name: str
    done: str
