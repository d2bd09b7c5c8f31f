"""What every part of the app stands on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from kernel.clock import Clock
from kernel.key_encoding import AnyKeys
from kernel.settings import Settings

if TYPE_CHECKING:
    from kernel.due_index import DueIndex
    from kernel.large_texts import LargeTexts, Texts
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

    def __init__(
        self,
        tables: Tables,
        settings: Settings,
        clock: Clock = system_clock,
        large_texts: Callable[[], LargeTexts] | None = None,
    ) -> None:
        """Take what everything stands on; without a place for large texts, they stay in this process."""
        self.tables: Tables = AnyKeys(tables)
        self._make_large_texts = large_texts
        self.settings = settings
        self.clock = clock
        self.started_at = clock()

    @cached_property
    def large_texts(self) -> LargeTexts:
        """Where texts are that are too long for a row."""
        if self._make_large_texts is not None:
            return self._make_large_texts()
        from adapters.memory_texts import MemoryTexts

        return MemoryTexts()

    @cached_property
    def texts(self) -> Texts:
        """Texts of any length, for rows."""
        from kernel.large_texts import Texts

        return Texts(self.large_texts)

    def _due(self, kind: str) -> DueIndex:
        from kernel.due_index import DueIndex

        return DueIndex(self.tables, kind)
