"""What every part of the app stands on."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeVar

from kernel.clock import Clock
from kernel.key_encoding import AnyKeys
from kernel.settings import Settings

if TYPE_CHECKING:
    from kernel.due_index import DueIndex
    from kernel.large_texts import LargeTexts, Texts
    from kernel.tables import Tables


class Closeable(Protocol):
    """Something with connections, processes or tasks of its own."""

    async def aclose(self) -> None:
        """Release them."""
        ...


C = TypeVar("C", bound=Closeable)


def system_clock() -> datetime:
    """Return the wall clock's time."""
    return datetime.now(UTC)


class Core:
    """The storage, the settings and the clock that all parts share.

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
        """Take what everything stands on; without a store for large texts, they stay in this process."""
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
        """Return what was made, to be closed with the app, and before what was made earlier."""
        self._closing.push_async_callback(made.aclose)
        return made

    async def aclose(self) -> None:
        """Close everything that was made."""
        await self._closing.aclose()

    @cached_property
    def large_texts(self) -> LargeTexts:
        """Where texts are stored that are too long for a row."""
        if self._make_large_texts is not None:
            return self.closes(self._make_large_texts())
        from adapters.memory_texts import MemoryTexts

        return self.closes(MemoryTexts())

    @cached_property
    def texts(self) -> Texts:
        """Texts of any length, for rows."""
        from kernel.large_texts import Texts

        return Texts(self.large_texts)

    def due(self, kind: str) -> DueIndex:
        """Return the index of what is due of one kind."""
        from kernel.due_index import DueIndex

        return DueIndex(self.tables, kind)

    @property
    def budget_trust(self) -> timedelta:
        """How long budgets, prices and policies are taken to be as last read."""
        return timedelta(seconds=self.settings.budget_trust)

    @property
    def session_idle_after(self) -> timedelta:
        """After how long without a run a session ends by itself."""
        return timedelta(seconds=self.settings.session_idle_after)
