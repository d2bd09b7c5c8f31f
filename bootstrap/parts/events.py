"""The parts of events."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.foundation import Foundation

if TYPE_CHECKING:
    from kernel.journal import Journal
    from kernel.timer_status import TimerStatusStore
    from lifecycle.events.daily_counts import DailyEventCounts


class EventParts(Foundation):
    """Makes events."""

    @cached_property
    def journal(self) -> Journal:
        """What happened in each workspace, in order."""
        from kernel.journal import Journal

        return Journal(self.tables)

    @cached_property
    def daily_counts(self) -> DailyEventCounts:
        """How often what happened."""
        from lifecycle.events.daily_counts import DailyEventCounts

        return DailyEventCounts(self.tables, self.journal)

    @cached_property
    def timer_statuses(self) -> TimerStatusStore:
        """When each timer last did its work."""
        from kernel.timer_status import TimerStatusStore

        return TimerStatusStore(self.tables)

    @property
    def _events_kept_for(self) -> timedelta:
        return timedelta(seconds=self.settings.events_retention)
