"""Adapts the size of a worker's cache to its load, within bounds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from lifecycle.loader.cache_size_rules import CacheLoad, SizeBounds, fitting_size

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.loader.agent_resolver import AgentResolver
    from lifecycle.loader.cache_records import CacheWatch

log = logging.getLogger(__name__)

_CROWDED = 8
"""The size is adapted early once look-ups of recently evicted agents reach this fraction (1/n) of the capacity."""


class CacheSizer:
    """Adapts the size of a worker's cache: periodically, and early when many recently evicted agents are looked up."""

    def __init__(
        self,
        resolver: AgentResolver,
        watch: CacheWatch,
        bounds: SizeBounds,
        memory_share: Callable[[], float | None],
        clock: Clock,
    ) -> None:
        """Set the cache to adapt.

        Args:
            resolver: Has the cache.
            watch: Counts look-ups, and those of recently evicted agents.
            bounds: Limits of the size.
            memory_share: Returns which share of its memory, 0-1, the worker uses; None if unknown.
            clock: Gives the time.
        """
        self._cache = resolver.cache
        self._watch = watch
        self._bounds = bounds
        self._memory_share = memory_share
        self._clock = clock
        self._since = clock()
        self._asked_before = 0
        self._grown = False
        watch.capacity = self._cache.capacity
        if bounds.most > bounds.least:
            watch.crowded = self._crowded

    def adapt(self) -> None:
        """Adapt the size to the load since the last call."""
        if self._bounds.most <= self._bounds.least:
            return
        held = [live for key in self._cache if (live := self._cache.peek(key)) is not None]
        used = sum(live.checked_at >= self._since for live in held)
        self._resize(len(held) if self._grown else used)
        self._since, self._grown = self._clock(), False

    def _crowded(self) -> None:
        recent_evictions = self._watch.recent_evictions
        if recent_evictions.count >= max(1, self._cache.capacity // _CROWDED):
            self._grown = True
            self._resize(self._cache.capacity)

    def _resize(self, used: int) -> None:
        cache, asked = self._cache, self._cache.hits + self._cache.misses
        evicted_lookups, self._watch.recent_evictions.count = self._watch.recent_evictions.count, 0
        load = CacheLoad(cache.capacity, used, asked - self._asked_before, evicted_lookups, self._memory_share())
        self._asked_before = asked
        size = fitting_size(load, self._bounds)
        if size == cache.capacity:
            return
        log.info("the cache of agents has %d places, not %d", size, cache.capacity, extra={"event": "loader.resized"})
        cache.resize(size)
        self._watch.capacity = size
