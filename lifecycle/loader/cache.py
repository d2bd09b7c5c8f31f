"""A bounded cache whose eviction policy is a choice, and which tells what leaves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, Literal, TypeVar

from lifecycle.loader.policies import Policy, PolicyName, make_policy

K = TypeVar("K")
V = TypeVar("V")

Cause = Literal["evicted", "dropped"]
"""Why a value left: for want of room, or because it was asked to."""


class AgentCache(Generic[K, V]):
    """Holds at most `capacity` values. Not thread-safe; for use on one event loop.

    Attributes:
        hits: Looks by `get` that found a value.
        misses: Looks by `get` that found none.
        evictions: Values that went for want of room.
    """

    def __init__(
        self, capacity: int, policy: PolicyName = "sieve", removed: Callable[[K, V, Cause], None] | None = None
    ) -> None:
        """Make an empty cache.

        Args:
            capacity: Most values, at least 1.
            policy: Which value goes when there is no room.
            removed: Is called with each value that leaves the cache, after it has left.

        Raises:
            ValueError: The capacity is below 1, or there is no such policy.
        """
        self._policy: Policy[K] = make_policy(policy, capacity)
        self._values: dict[K, V] = {}
        self._removed = removed
        self._touch = self._policy.touch
        self.hits = 0
        self.misses = 0
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[K]:
        return iter(tuple(self._values))

    @property
    def capacity(self) -> int:
        """Most values."""
        return self._policy.capacity

    @property
    def full(self) -> bool:
        """Whether another value would take the place of one."""
        return len(self._values) >= self._policy.capacity

    def get(self, key: K) -> V | None:
        """Return the value, as used now, or None."""
        try:
            value = self._values[key]
        except KeyError:
            self.misses += 1
            return None
        self.hits += 1
        self._touch(key)
        return value

    def peek(self, key: K) -> V | None:
        """Return the value, or None, without counting the look."""
        return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        """Hold the value, evicting another one, or with `w-tinylfu` this very one, when the cache is full."""
        if key in self._values:
            self._values[key] = value
            return
        self._values[key] = value
        victim = self._policy.add(key)
        if victim is not None:
            self._evicted(victim)

    def put_if_room(self, key: K, value: V) -> bool:
        """Hold the value as if it had been used, unless another would have to go; return whether it is held.

        Without that mark what is only passed through would push out what was preloaded: of a worker's first hundred
        requests 53 % would be hits, where with it 58 % are (`benchmarks.loader`).
        """
        if key not in self._values and self.full:
            return False
        self.put(key, value)
        if key not in self._values:
            return False
        self._touch(key)
        return True

    def drop(self, key: K) -> None:
        """Let go of the value, if it is there."""
        if key not in self._values:
            return
        self._policy.remove(key)
        value = self._values.pop(key)
        if self._removed is not None:
            self._removed(key, value, "dropped")

    def resize(self, capacity: int) -> None:
        """Hold at most so many values from now on.

        Raises:
            ValueError: The capacity is below 1.
        """
        if capacity < 1:
            msg = "capacity must be at least 1"
            raise ValueError(msg)
        self._policy.capacity = capacity
        while len(self._values) > capacity:
            self._evicted(self._policy.evict())

    def _evicted(self, key: K) -> None:
        value = self._values.pop(key)
        self.evictions += 1
        if self._removed is not None:
            self._removed(key, value, "evicted")
