"""Outcomes of preloaded agents, and how many more may be preloaded."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lifecycle.loader.cache_plan import Allowance

if TYPE_CHECKING:
    from lifecycle.loader.usage_statistics import Key


class Preloads:
    """Tracks preloaded agents until they are used or wasted.

    Attributes:
        allowance: How many unused ones there may be.
        loaded: Number of preloaded agents.
        failed: Number of failed preloads.
        waiting: Unused preloaded agents in the cache, and since when, in seconds since 1970 UTC.
    """

    def __init__(self, capacity: int, share: float, unused_after_s: float = 3600.0) -> None:
        """Begin with an allowance.

        Args:
            capacity: The cache's.
            share: Of it, 0-1; 0 switches preloading off.
            unused_after_s: A preloaded agent that nobody has used for so long was preloaded in vain.
        """
        self._unused_after_s = unused_after_s
        self.allowance = Allowance.of(capacity, share)
        self.loaded = 0
        self.failed = 0
        self.waiting: dict[Key, float] = {}
        self._failed: Counter[Key] = Counter()

    @property
    def unproven(self) -> int:
        """Number of unused preloaded agents in the cache."""
        return len(self.waiting)

    @property
    def left(self) -> int:
        """How many more may be preloaded now."""
        return self.allowance.left(len(self.waiting))

    def add(self, key: Key, now: float) -> None:
        """Record that the agent was preloaded."""
        self.loaded += 1
        self._failed.pop(key, None)
        self.waiting[key] = now

    def fail(self, key: Key) -> None:
        """Record that preloading the agent failed; after three failures in a row it is not tried again."""
        self.failed += 1
        self._failed[key] += 1
        if len(self._failed) > 1000:
            self._failed.clear()

    def hopeless(self, key: Key) -> bool:
        """Return whether preloading the agent has failed three times in a row."""
        return self._failed[key] >= 3

    def used(self, key: Key) -> bool:
        """Record a use of an agent; return whether it was the first use of a preloaded one."""
        if not self.waiting or self.waiting.pop(key, None) is None:
            return False
        self.allowance = self.allowance.after_use()
        return True

    def removed(self, key: Key) -> bool:
        """Record that an agent left the cache; return whether it was preloaded and unused."""
        if self.waiting.pop(key, None) is None:
            return False
        self.allowance = self.allowance.after_waste()
        return True

    def expire(self, now: float) -> list[Key]:
        """Count preloaded agents that were not used for long as preloaded in vain; return them."""
        late = [key for key, since in self.waiting.items() if since < now - self._unused_after_s]
        for key in late:
            self.removed(key)
        return late
