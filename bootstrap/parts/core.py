"""What all parts share."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeVar

from kernel.key_encoding import AnyKeys

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.due_index import DueIndex
    from kernel.large_texts import LargeTexts, Texts
    from kernel.settings import Settings
    from kernel.tables import Tables


class Closeable(Protocol):
    """Something with connections, processes or tasks to release."""

    async def aclose(self) -> None:
        """Release them."""
        ...


C = TypeVar("C", bound=Closeable)


def system_clock() -> datetime:
    """Return the current time, aware UTC."""
    return datetime.now(UTC)


class Core:
    """Storage, settings and clock, shared by all parts.

    Attributes:
        settings: The settings the app was made from.
        tables: Where rows are stored.
        clock: What tells the time.
        elapsed: Counts seconds. Of the wall clock's, the process does so itself: no correction of the clock moves it.
        started_at: Since when this process serves; aware UTC.
        shared: Whether other processes may use the same storage.
    """

    def __init__(
        self,
        tables: Tables,
        settings: Settings,
        clock: Clock = system_clock,
        large_texts: Callable[[], LargeTexts] | None = None,
        *,
        shared: bool = False,
    ) -> None:
        """Set the shared objects; without a store for large texts, these are kept in memory."""
        self.tables: Tables = AnyKeys(tables)
        self._make_large_texts = large_texts
        self.settings = settings
        self.clock = clock
        self.elapsed: Callable[[], float] = time.monotonic if clock is system_clock else lambda: clock().timestamp()
        self.started_at = clock()
        self.shared = shared
        self._closing = AsyncExitStack()
        self.closes(self.tables)

    def closes(self, made: C) -> C:
        """Register an object to be closed with the app, before those registered earlier, and return it."""
        self._closing.push_async_callback(made.aclose)
        return made

    async def aclose(self) -> None:
        """Close everything that was registered."""
        await self._closing.aclose()

    @cached_property
    def large_texts(self) -> LargeTexts:
        """Store of texts too long for a row."""
        if self._make_large_texts is not None:
            return self.closes(self._make_large_texts())
        from adapters.memory_texts import MemoryTexts

        return self.closes(MemoryTexts())

    @cached_property
    def texts(self) -> Texts:
        """Texts of any length, for use in rows."""
        from kernel.large_texts import Texts

        return Texts(self.large_texts)

    def due(self, kind: str) -> DueIndex:
        """Return the due index of a kind."""
        from kernel.due_index import DueIndex

        return DueIndex(self.tables, kind)

    @property
    def budget_trust(self) -> timedelta:
        """How long budgets, prices and policies are cached."""
        return timedelta(seconds=self.settings.budget_trust)

    @property
    def session_idle_after(self) -> timedelta:
        """Idle time after which a session ends."""
        return timedelta(seconds=self.settings.session_idle_after)
