"""Composition of events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.parts.core import Core
    from kernel.journal import Journal
    from kernel.timer_status import TimerStatusStore
    from lifecycle.events.daily_counts import DailyEventCounts


@dataclass(eq=False)
class EventServices:
    """Builds the event journal, its daily counts and the status of timers."""

    _core: Core

    @cached_property
    def journal(self) -> Journal:
        """The events of each workspace, in order."""
        from kernel.journal import Journal

        return Journal(self._core.tables)

    @cached_property
    def daily_counts(self) -> DailyEventCounts:
        """Numbers of events by day."""
        from lifecycle.events.daily_counts import DailyEventCounts

        return DailyEventCounts(self._core.tables, self.journal)

    @cached_property
    def timer_statuses(self) -> TimerStatusStore:
        """Stores when each timer last succeeded and failed."""
        from kernel.timer_status import TimerStatusStore

        return TimerStatusStore(self._core.tables)

    @property
    def kept_for(self) -> timedelta:
        """How long events are stored."""
        return timedelta(seconds=self._core.settings.events_retention)
