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
    """Makes the journal of events, its daily counts and the status of timers."""

    _core: Core

    @cached_property
    def journal(self) -> Journal:
        """What happened in each workspace, in order."""
        from kernel.journal import Journal

        return Journal(self._core.tables)

    @cached_property
    def daily_counts(self) -> DailyEventCounts:
        """How often what happened."""
        from lifecycle.events.daily_counts import DailyEventCounts

        return DailyEventCounts(self._core.tables, self.journal)

    @cached_property
    def timer_statuses(self) -> TimerStatusStore:
        """When each timer last did its work."""
        from kernel.timer_status import TimerStatusStore

        return TimerStatusStore(self._core.tables)

    @property
    def kept_for(self) -> timedelta:
        """How long events can be read after they happened."""
        return timedelta(seconds=self._core.settings.events_retention)
