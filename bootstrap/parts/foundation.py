"""What every part of the app stands on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kernel.clock import Clock
from kernel.key_encoding import AnyKeys
from kernel.settings import Settings

if TYPE_CHECKING:
    from kernel.due import DueIndex
    from kernel.tables import Tables


def system_clock() -> datetime:
    """Return the wall clock's time."""
    return datetime.now(UTC)


class Foundation:
    """Where everything is kept, how it is set, and what tells the time.

    Attributes:
        settings: The settings the app was made from.
        tables: Where everything is kept.
        clock: What tells the time.
        started_at: Since when this process serves.
    """

    def __init__(self, tables: Tables, settings: Settings, clock: Clock = system_clock) -> None:
        self.tables: Tables = AnyKeys(tables)
        self.settings = settings
        self.clock = clock
        self.started_at = clock()

    def _due(self, kind: str) -> DueIndex:
        from kernel.due import DueIndex

        return DueIndex(self.tables, kind)
