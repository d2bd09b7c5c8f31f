"""Eviction policies of caches. Each operation takes constant time.

`sieve`       Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024.
`lru`         The least recently used key goes.
`s3-fifo`     Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023.
`w-tinylfu`   Einziger et al., "TinyLFU: A Highly Efficient Cache Admission Policy", ACM ToS 2017.

A policy holds only keys; `lifecycle.loader.cache` has the values. Not thread-safe.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Generic, Literal, Protocol, TypeVar

K = TypeVar("K")

PolicyName = Literal["sieve", "lru", "s3-fifo", "w-tinylfu"]
POLICIES: tuple[PolicyName, ...] = ("sieve", "lru", "s3-fifo", "w-tinylfu")


class Policy(Protocol[K]):
    """Selects which of at most `capacity` keys to evict.

    Attributes:
        capacity: Most keys; after lowering it, call `evict` until they fit.
    """

    capacity: int

    def touch(self, key: K) -> None:
        """Record a hit of a present key."""
        ...

    def add(self, key: K) -> K | None:
        """Add an absent key; return the key evicted for it, which may be the new one, or None."""
        ...

    def remove(self, key: K) -> None:
        """Remove a present key."""
        ...

    def evict(self) -> K:
        """Evict a key and return it. There must be one."""
        ...

    def __contains__(self, key: object) -> bool:
        """Return whether the key is present."""
        ...

    def __len__(self) -> int:
        """Return the number of keys."""
        ...


def make_policy(name: PolicyName, capacity: int) -> Policy[Any]:
    """Return an empty policy of this name.

    Raises:
        ValueError: The name is unknown, or the capacity is below 1.
    """
    if capacity < 1:
        msg = "capacity must be at least 1"
        raise ValueError(msg)
    match name:
        case "sieve":
            return Sieve(capacity)
        case "lru":
            return Lru(capacity)
        case "s3-fifo":
            return S3Fifo(capacity)
        case "w-tinylfu":
            return TinyLfu(capacity)
    msg = f"no eviction policy {name!r}; there are {', '.join(POLICIES)}"
    raise ValueError(msg)


class _Node(Generic[K]):
    __slots__ = ("key", "newer", "older", "visited")

    def __init__(self, key: K, older: _Node[K] | None) -> None:
        self.key = key
        self.visited = False
        self.older = older
        self.newer: _Node[K] | None = None


class Sieve(Generic[K]):
    """Keys in order of arrival; a hand moves from oldest to newest, clears marks and evicts the first unmarked key."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._nodes: dict[K, _Node[K]] = {}
        self._oldest: _Node[K] | None = None
        self._newest: _Node[K] | None = None
        self._hand: _Node[K] | None = None  # None: the oldest

    def touch(self, key: K) -> None:
        """Mark the key."""
        self._nodes[key].visited = True

    def add(self, key: K) -> K | None:
        """Add the key as the newest."""
        victim = self.evict() if len(self._nodes) >= self.capacity else None
        node = self._nodes[key] = _Node(key, self._newest)
        if self._newest is None:
            self._oldest = node
        else:
            self._newest.newer = node
        self._newest = node
        return victim

    def remove(self, key: K) -> None:
        """Remove the key; the hand moves on to the next newer one."""
        node = self._nodes.pop(key)
        if node is self._hand:
            self._hand = node.newer
        if node.older is None:
            self._oldest = node.newer
        else:
            node.older.newer = node.newer
        if node.newer is None:
            self._newest = node.older
        else:
            node.newer.older = node.older

    def evict(self) -> K:
        """Evict the first unmarked key from the hand on."""
        node = self._hand or self._first()
        while node.visited:
            node.visited = False
            node = node.newer or self._first()
        self._hand = node
        self.remove(node.key)
        return node.key

    def _first(self) -> _Node[K]:
        if self._oldest is None:
            msg = "there is no key to evict"
            raise LookupError(msg)
        return self._oldest

    def __contains__(self, key: object) -> bool:
        return key in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[K]:
        """Yield the keys from the oldest to the newest."""
        node = self._oldest
        while node is not None:
            yield node.key
            node = node.newer


class Lru(Generic[K]):
    """Evicts the least recently used key."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._order: OrderedDict[K, None] = OrderedDict()

    def touch(self, key: K) -> None:
        """Make it the most recently used key."""
        self._order.move_to_end(key)

    def add(self, key: K) -> K | None:
        """Add the key as the most recently used."""
        victim = self.evict() if len(self._order) >= self.capacity else None
        self._order[key] = None
        return victim

    def remove(self, key: K) -> None:
        """Remove the key."""
        del self._order[key]

    def evict(self) -> K:
        """Evict the least recently used key."""
        return self._order.popitem(last=False)[0]

    def __contains__(self, key: object) -> bool:
        return key in self._order

    def __len__(self) -> int:
        return len(self._order)


class S3Fifo(Generic[K]):
    """New keys pass through a small queue; those hit there, or missed again soon after, get into the main one.

    The paper has a tenth of the places in the small queue, and as many keys remembered as there are places: it is about
    keys that most often are asked for once. Agents come again, sooner or later, and so long a memory lets nearly all of
    them into the main queue. Half of both hits 1.1 points more often on Zipf 1.0 (`benchmarks.loader`), and no kind of
    requests less often.
    """

    _SMALL_SHARE = 0.05
    _REMEMBERED_SHARE = 0.5
    _MOST_HITS = 3

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._small: OrderedDict[K, int] = OrderedDict()
        self._main: OrderedDict[K, int] = OrderedDict()
        self._ghost: OrderedDict[K, None] = OrderedDict()

    def touch(self, key: K) -> None:
        """Count the hit, up to three."""
        queue = self._small if key in self._small else self._main
        queue[key] = min(queue[key] + 1, self._MOST_HITS)

    def add(self, key: K) -> K | None:
        """Add the key: to the main queue if it was evicted lately, else to the small one."""
        victim = self.evict() if len(self) >= self.capacity else None
        if key in self._ghost:
            del self._ghost[key]
            self._main[key] = 0
        else:
            self._small[key] = 0
        return victim

    def remove(self, key: K) -> None:
        """Remove the key."""
        if self._small.pop(key, None) is None:
            del self._main[key]

    def evict(self) -> K:
        """Evict the first key without a hit; keys of the small queue with a hit move to the main queue."""
        while True:
            if self._small and (len(self._small) >= self.capacity * self._SMALL_SHARE or not self._main):
                key, hits = self._small.popitem(last=False)
                if hits:
                    self._main[key] = 0
                    continue
                self._ghost[key] = None
                if len(self._ghost) > self.capacity * self._REMEMBERED_SHARE:
                    self._ghost.popitem(last=False)
                return key
            key, hits = self._main.popitem(last=False)
            if not hits:
                return key
            self._main[key] = hits - 1

    def __contains__(self, key: object) -> bool:
        return key in self._small or key in self._main

    def __len__(self) -> int:
        return len(self._small) + len(self._main)


class TinyLfu(Generic[K]):
    """A new key stays only if it is requested more often than the key that would be evicted.

    Request counts are exact, and halved every ten capacities of requests; a sketch would save nothing at these sizes.
    Besides the main part, a segmented LRU, one percent of the keys is in a window.
    """

    _WINDOW_SHARE = 0.01
    _PROTECTED_SHARE = 0.8
    _SAMPLE = 10

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._counts: dict[K, int] = {}
        self._counted = 0
        self._window: OrderedDict[K, None] = OrderedDict()
        self._probation: OrderedDict[K, None] = OrderedDict()
        self._protected: OrderedDict[K, None] = OrderedDict()

    def touch(self, key: K) -> None:
        """Count the hit; a key on probation becomes protected."""
        self._count(key)
        if key in self._window:
            self._window.move_to_end(key)
        elif key in self._protected:
            self._protected.move_to_end(key)
        else:
            del self._probation[key]
            self._protected[key] = None
            if len(self._protected) > max(1, int(self.capacity * self._PROTECTED_SHARE)):
                self._probation[self._protected.popitem(last=False)[0]] = None

    def add(self, key: K) -> K | None:
        """Add the key to the window; the key that leaves the window competes with the main part's candidate."""
        self._count(key)
        self._window[key] = None
        while len(self._window) > max(1, int(self.capacity * self._WINDOW_SHARE)) and len(self) <= self.capacity:
            self._probation[self._window.popitem(last=False)[0]] = None
        return self.evict() if len(self) > self.capacity else None

    def remove(self, key: K) -> None:
        """Remove the key."""
        for part in (self._window, self._probation, self._protected):
            if key in part:
                del part[key]
                return
        raise KeyError(key)

    def evict(self) -> K:
        """Evict the oldest key of the window or the main part, whichever is requested less."""
        main = self._probation or self._protected
        if not main:
            return self._window.popitem(last=False)[0]
        victim = next(iter(main))
        if not self._window:
            del main[victim]
            return victim
        candidate = self._window.popitem(last=False)[0]
        if self._counts.get(candidate, 0) > self._counts.get(victim, 0):
            del main[victim]
            self._probation[candidate] = None
            return victim
        return candidate

    def _count(self, key: K) -> None:
        self._counts[key] = self._counts.get(key, 0) + 1
        self._counted += 1
        if self._counted >= self._SAMPLE * self.capacity:
            self._counts = {each: count // 2 for each, count in self._counts.items() if count > 1}
            self._counted //= 2

    def __contains__(self, key: object) -> bool:
        return key in self._window or key in self._probation or key in self._protected

    def __len__(self) -> int:
        return len(self._window) + len(self._probation) + len(self._protected)
