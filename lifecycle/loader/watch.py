"""What a worker notes of its cache: look-ups, loads and removals, and what became of preloaded agents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from lifecycle.loader.activity import Key
from lifecycle.loader.preloads import Preloads
from lifecycle.loader.sizing import Regrets


class CacheMeasures(Protocol):
    """Counts what happens in a worker's cache, by workspace."""

    def soon(self) -> None:
        """Have counts stored a little later; `CacheWatch.flush` is called before that."""
        ...

    def looked_up(self, workspace: str, count: int, *, hit: bool) -> None:
        """Count look-ups."""
        ...

    def loaded(self, workspace: str, cause: str) -> None:
        """Count an agent that was opened, for a `run` or by a `preload`."""
        ...

    def removed(self, workspace: str, cause: str) -> None:
        """Count an agent that is not held any more: `evicted` or `dropped`."""
        ...

    def preloaded(self, workspace: str, result: str) -> None:
        """Count what became of a preloaded agent: `used`, `wasted` or `failed`."""
        ...

    def compared(self, workspace: str, strategy: str, count: int, *, hit: bool) -> None:
        """Count look-ups of a worker whose strategy is compared with others."""
        ...

    def sized(self, workspace: str, capacity: int) -> None:
        """Say how many agents the worker may hold."""
        ...


class CacheWatch:
    """Notes what happens in a worker's cache. A look-up costs a fraction of a microsecond.

    Attributes:
        preloads: What became of preloaded agents, and how many more there may be.
        following: What is usually used after an agent; set by the preloader.
        wanted: Is given the agents to preload once one was looked up that has companions; set by the preloader.
        regrets: Look-ups of agents that were let go of lately.
        crowded: Is called when there was one; set by who changes the cache's size.
        capacity: How many agents the worker may hold; 0 where nobody says.
    """

    def __init__(
        self,
        preloads: Preloads,
        measures: CacheMeasures | None = None,
        *,
        strategy: str | None = None,
        remembered: int = 0,
    ) -> None:
        """Begin to note.

        Args:
            preloads: What becomes of preloaded agents.
            measures: Counts; None for nobody.
            strategy: Under which name look-ups are counted besides; None where none are compared.
            remembered: How many agents that went are remembered.
        """
        self.preloads = preloads
        self._unproven = preloads.waiting
        self.regrets = Regrets(remembered)
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

        It is added up here and counted by `flush`: otherwise counting a hit takes several times as long as the hit.
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
        self.regrets.missed(key)
        if self.regrets.count and self.crowded is not None:
            self.crowded()
        if self._unproven or self.following:
            self._followed(key)

    def flush(self) -> None:
        """Count the look-ups since the last time."""
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
        """Note an agent that was opened and is held."""
        if preload:
            self.preloads.add(key, now)
        if self._measures is not None:
            self._measures.loaded(key[0], "preload" if preload else "run")

    def failed(self, key: Key) -> None:
        """Note an agent that could not be preloaded."""
        self.preloads.fail(key)
        if self._measures is not None:
            self._measures.preloaded(key[0], "failed")

    def removed(self, key: Key, cause: str) -> None:
        """Note an agent that is not held any more."""
        wasted = self.preloads.removed(key)
        if cause == "evicted":
            self.regrets.evicted(key)
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
