"""Having a worker's cache follow what is asked of it, within bounds."""

from __future__ import annotations

import logging
from collections.abc import Callable

from kernel.clock import Clock
from lifecycle.loader.resolver import AgentResolver
from lifecycle.loader.sizing import CacheLoad, SizeBounds, fitting_size
from lifecycle.loader.watch import CacheWatch

log = logging.getLogger(__name__)

_CROWDED = 8
"""The cache is looked at before its time once a part of its places, one in so many, would have hit and did not."""


class CacheSizer:
    """Changes the size of a worker's cache: now and then, and at once where many miss what was held until lately."""

    def __init__(
        self,
        resolver: AgentResolver,
        watch: CacheWatch,
        bounds: SizeBounds,
        memory_share: Callable[[], float | None],
        clock: Clock,
    ) -> None:
        """Watch the cache.

        Args:
            resolver: Whose cache it is.
            watch: Counts its look-ups, and tells of those of agents that it let go of.
            bounds: Between what its size may be.
            memory_share: Returns what this worker uses of its memory, 0-1; None where that is not known.
            clock: The time.
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
        """Have the size follow what was asked since the last time."""
        if self._bounds.most <= self._bounds.least:
            return
        held = [live for key in self._cache if (live := self._cache.peek(key)) is not None]
        used = sum(live.checked_at >= self._since for live in held)
        self._resize(len(held) if self._grown else used)
        self._since, self._grown = self._clock(), False

    def _crowded(self) -> None:
        regrets = self._watch.regrets
        if regrets.count >= max(1, self._cache.capacity // _CROWDED):
            self._grown = True
            self._resize(self._cache.capacity)

    def _resize(self, used: int) -> None:
        cache, asked = self._cache, self._cache.hits + self._cache.misses
        regretted, self._watch.regrets.count = self._watch.regrets.count, 0
        load = CacheLoad(cache.capacity, used, asked - self._asked_before, regretted, self._memory_share())
        self._asked_before = asked
        size = fitting_size(load, self._bounds)
        if size == cache.capacity:
            return
        log.info("the cache of agents has %d places, not %d", size, cache.capacity, extra={"event": "loader.resized"})
        cache.resize(size)
        self._watch.capacity = size
