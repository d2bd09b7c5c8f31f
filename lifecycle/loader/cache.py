"""A bounded cache with a choice of eviction policies, and a callback for values that leave it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, Literal, TypeVar

from lifecycle.loader.eviction_policies import Policy, PolicyName, make_policy

K = TypeVar("K")
V = TypeVar("V")

Cause = Literal["evicted", "dropped"]
"""Why a value left: for lack of space, or because `drop` was called."""


class AgentCache(Generic[K, V]):
    """A cache of at most `capacity` values. Not thread-safe; for one event loop.

    Attributes:
        hits: Calls of `get` that found a value.
        misses: Calls of `get` that found none.
        evictions: Values removed for lack of space.
    """

    def __init__(
        self, capacity: int, policy: PolicyName = "sieve", removed: Callable[[K, V, Cause], None] | None = None
    ) -> None:
        """Make an empty cache.

        Args:
            capacity: Most values, at least 1.
            policy: Name of the eviction policy.
            removed: Called with each value after it left the cache.

        Raises:
            ValueError: The capacity is below 1, or the policy is unknown.
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
        """Most values that it can hold."""
        return self._policy.capacity

    @property
    def full(self) -> bool:
        """Whether adding a value would evict one."""
        return len(self._values) >= self._policy.capacity

    def get(self, key: K) -> V | None:
        """Return the value and mark it as used; None if absent."""
        try:
            value = self._values[key]
        except KeyError:
            self.misses += 1
            return None
        self.hits += 1
        self._touch(key)
        return value

    def peek(self, key: K) -> V | None:
        """Return the value, None if absent; counts neither as a use nor in the statistics."""
        return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        """Add the value; when the cache is full, another one is evicted, or with `w-tinylfu` maybe this one."""
        if key in self._values:
            self._values[key] = value
            return
        self._values[key] = value
        victim = self._policy.add(key)
        if victim is not None:
            self._evicted(victim)

    def put_if_room(self, key: K, value: V) -> bool:
        """Add the value and mark it as used, unless one would have to be evicted; return whether it is in the cache.

        Without the mark, values used once would evict what was preloaded: of a worker's first hundred requests 53 %
        would be hits, with it 58 % are (`benchmarks.loader`).
        """
        if key not in self._values and self.full:
            return False
        self.put(key, value)
        if key not in self._values:
            return False
        self._touch(key)
        return True

    def drop(self, key: K) -> None:
        """Remove the value, if present."""
        if key not in self._values:
            return
        self._policy.remove(key)
        value = self._values.pop(key)
        if self._removed is not None:
            self._removed(key, value, "dropped")

    def resize(self, capacity: int) -> None:
        """Change the capacity, evicting values as needed.

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
