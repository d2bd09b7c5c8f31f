"""What a worker notes of its cache: look-ups, loads and removals, and what became of preloaded agents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from lifecycle.loader.activity import Key
from lifecycle.loader.preloads import Preloads


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


class CacheWatch:
    """Notes what happens in a worker's cache. A look-up costs a fraction of a microsecond.

    Attributes:
        preloads: What became of preloaded agents, and how many more there may be.
        following: What is usually used after an agent; set by the preloader.
        wanted: Is given the agents to preload once one was looked up that has companions; set by the preloader.
    """

    def __init__(self, preloads: Preloads, measures: CacheMeasures | None = None) -> None:
        self.preloads = preloads
        self.following: Mapping[Key, Sequence[Key]] = {}
        self.wanted: Callable[[Sequence[Key]], None] | None = None
        self._measures = measures
        self._hits: dict[str, int] = {}
        self._misses: dict[str, int] = {}

    def looked_up(self, key: Key, hit: bool) -> None:
        """Note a look-up of an agent, and whether it took no I/O.

        It is added up here and counted by `flush`: otherwise counting a hit takes several times as long as the hit.
        """
        counts = self._hits if hit else self._misses
        try:
            counts[key[0]] += 1
        except KeyError:
            counts[key[0]] = 1
            if self._measures is not None:
                self._measures.soon()
        if self.preloads.waiting or self.following:
            self._followed(key)

    def flush(self) -> None:
        """Count the look-ups since the last time."""
        for counts, hit in ((self._hits, True), (self._misses, False)):
            found = dict(counts)
            counts.clear()
            for workspace, count in found.items():
                if self._measures is not None:
                    self._measures.looked_up(workspace, count, hit=hit)

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
        if self._measures is None:
            return
        self._measures.removed(key[0], cause)
        if wasted:
            self._measures.preloaded(key[0], "wasted")

    def _followed(self, key: Key) -> None:
        if self.preloads.used(key) and self._measures is not None:
            self._measures.preloaded(key[0], "used")
        if self.wanted is not None and (others := self.following.get(key)):
            self.wanted(others)

    def expire(self, now: float) -> None:
        """Count what was not used for an hour after it was preloaded as wasted."""
        for key in self.preloads.expire(now):
            if self._measures is not None:
                self._measures.preloaded(key[0], "wasted")
