"""A bounded cache with SIEVE eviction.

SIEVE (Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024): entries stay in the order they came; a hit only marks an
entry; to evict, a hand moves from the oldest towards the newest, clears marks and takes the first unmarked entry.
"""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class SieveCache(Generic[K, V]):
    """Keeps at most `capacity` values, evicting by SIEVE. Not thread-safe; for use on one event loop."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            msg = "capacity must be at least 1"
            raise ValueError(msg)
        self._capacity = capacity
        self._entries: dict[K, _Entry[V]] = {}
        self._order: list[K] = []
        self._hand = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """Return the value, marking it as visited, or None."""
        entry = self._entries.get(key)
        if entry is None:
            self.misses += 1
            return None
        self.hits += 1
        entry.visited = True
        return entry.value

    def peek(self, key: K) -> V | None:
        """Return the value, or None, without counting the look."""
        entry = self._entries.get(key)
        return entry.value if entry else None

    def put(self, key: K, value: V) -> None:
        """Keep the value, evicting another one when the cache is full."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.value = value
            return
        if len(self._entries) >= self._capacity:
            self._evict()
        self._entries[key] = _Entry(value)
        self._order.append(key)

    def drop(self, key: K) -> None:
        """Forget the value, if it is there."""
        if self._entries.pop(key, None) is None:
            return
        index = self._order.index(key)
        del self._order[index]
        if index < self._hand:
            self._hand -= 1
        self._wrap()

    def _evict(self) -> None:
        while (entry := self._entries[self._order[self._hand]]).visited:
            entry.visited = False
            self._hand += 1
            self._wrap()
        del self._entries[self._order.pop(self._hand)]
        self._wrap()

    def _wrap(self) -> None:
        # At once, or the entry that comes next would come under the hand and go first.
        if self._hand >= len(self._order):
            self._hand = 0


class _Entry(Generic[V]):
    __slots__ = ("value", "visited")

    def __init__(self, value: V) -> None:
        self.value = value
        self.visited = False
