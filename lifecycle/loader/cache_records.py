"""Records of a worker's cache: look-ups, loads, removals, and outcomes of preloads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from lifecycle.loader.cache_size_rules import RecentEvictions

if TYPE_CHECKING:
    from lifecycle.loader.preload_outcomes import Preloads
    from lifecycle.loader.usage_statistics import Key


class CacheMeasures(Protocol):
    """Counters of a worker's cache, by workspace."""

    def soon(self) -> None:
        """Store the counts a little later; `CacheWatch.flush` is called before that."""
        ...

    def looked_up(self, workspace: str, count: int, *, hit: bool) -> None:
        """Count look-ups."""
        ...

    def loaded(self, workspace: str, cause: str) -> None:
        """Count an opened agent; `cause` is `run` or `preload`."""
        ...

    def removed(self, workspace: str, cause: str) -> None:
        """Count an agent that left the cache; `cause` is `evicted` or `dropped`."""
        ...

    def preloaded(self, workspace: str, result: str) -> None:
        """Count the outcome of a preload: `used`, `wasted` or `failed`."""
        ...

    def compared(self, workspace: str, strategy: str, count: int, *, hit: bool) -> None:
        """Count look-ups of a worker with one of several compared strategies."""
        ...

    def sized(self, workspace: str, capacity: int) -> None:
        """Set the capacity of the worker's cache."""
        ...


class CacheWatch:
    """Records what happens in a worker's cache. A look-up costs a fraction of a microsecond.

    Attributes:
        preloads: Outcomes of preloads, and how many more there may be.
        following: Returns which agents are usually used after an agent; set by the preloader.
        wanted: Called with the companions of an agent that was looked up; set by the preloader.
        recent_evictions: Look-ups of recently evicted agents.
        crowded: Called at each of these; set by the cache's sizer.
        capacity: Size of the worker's cache; 0 if unknown.
    """

    def __init__(
        self,
        preloads: Preloads,
        measures: CacheMeasures | None = None,
        *,
        strategy: str | None = None,
        remembered: int = 0,
    ) -> None:
        """Start recording.

        Args:
            preloads: Outcomes of preloads.
            measures: Counters; None for none.
            strategy: The worker's strategy, for its own counts; None if none are compared.
            remembered: How many evicted agents are remembered.
        """
        self.preloads = preloads
        self._unproven = preloads.waiting
        self.recent_evictions = RecentEvictions(remembered)
        self.crowded: Callable[[], None] | None = None
        self.capacity = 0
        self._strategy = strategy
        self.following: Mapping[Key, Sequence[Key]] = {}
        self.wanted: Callable[[Sequence[Key]], None] | None = None
        self._measures = measures
        self._hits: dict[str, int] = {}
        self._misses: dict[str, int] = {}

    def hit(self, key: Key) -> None:
        """Note a look-up of an agent that took no I/O.

        It is summed here and counted by `flush`: counting a hit directly would take several times as long as the hit.
        """
        try:
            self._hits[key[0]] += 1
        except KeyError:
            self._first(self._hits, key)
        if self._unproven or self.following:
            self._followed(key)

    def missed(self, key: Key) -> None:
        """Note a look-up of an agent that took I/O."""
        try:
            self._misses[key[0]] += 1
        except KeyError:
            self._first(self._misses, key)
        self.recent_evictions.missed(key)
        if self.recent_evictions.count and self.crowded is not None:
            self.crowded()
        if self._unproven or self.following:
            self._followed(key)

    def flush(self) -> None:
        """Count the look-ups since the last call."""
        for counts, hit in ((self._hits, True), (self._misses, False)):
            found = dict(counts)
            counts.clear()
            for workspace, count in found.items():
                if self._measures is None:
                    continue
                self._measures.looked_up(workspace, count, hit=hit)
                if self._strategy is not None:
                    self._measures.compared(workspace, self._strategy, count, hit=hit)
                if self.capacity:
                    self._measures.sized(workspace, self.capacity)

    def loaded(self, key: Key, now: float, *, preload: bool) -> None:
        """Record an agent that was opened and is in the cache."""
        if preload:
            self.preloads.add(key, now)
        if self._measures is not None:
            self._measures.loaded(key[0], "preload" if preload else "run")

    def failed(self, key: Key) -> None:
        """Record an agent that failed to preload."""
        self.preloads.fail(key)
        if self._measures is not None:
            self._measures.preloaded(key[0], "failed")

    def removed(self, key: Key, cause: str) -> None:
        """Record an agent that left the cache."""
        wasted = self.preloads.removed(key)
        if cause == "evicted":
            self.recent_evictions.evicted(key)
        if self._measures is None:
            return
        self._measures.removed(key[0], cause)
        if wasted:
            self._measures.preloaded(key[0], "wasted")

    def _first(self, counts: dict[str, int], key: Key) -> None:
        counts[key[0]] = 1
        if self._measures is not None:
            self._measures.soon()

    def _followed(self, key: Key) -> None:
        if self.preloads.used(key) and self._measures is not None:
            self._measures.preloaded(key[0], "used")
        if self.wanted is not None and (others := self.following.get(key)):
            self.wanted(others)

    def expire(self, now: float) -> None:
        """Count what was not used for long after it was preloaded as wasted."""
        for key in self.preloads.expire(now):
            if self._measures is not None:
                self._measures.preloaded(key[0], "wasted")
