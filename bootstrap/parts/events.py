"""The parts of events."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.foundation import Foundation

if TYPE_CHECKING:
    from kernel.heartbeats import Heartbeats
    from kernel.journal import Journal
    from lifecycle.events.tally import Tally


class EventParts(Foundation):
    """Makes events."""

    @cached_property
    def journal(self) -> Journal:
        """What happened in each workspace, in order."""
        from kernel.journal import Journal

        return Journal(self.tables)

    @cached_property
    def tally(self) -> Tally:
        """How often what happened."""
        from lifecycle.events.tally import Tally

        return Tally(self.tables, self.journal)

    @cached_property
    def heartbeats(self) -> Heartbeats:
        """When each timer last did its work."""
        from kernel.heartbeats import Heartbeats

        return Heartbeats(self.tables)

    @property
    def _events_kept_for(self) -> timedelta:
        return timedelta(seconds=self.settings.events_retention)
