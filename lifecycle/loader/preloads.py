"""What became of preloaded agents, and how many more may be preloaded."""

from __future__ import annotations

from collections import Counter

from lifecycle.loader.activity import Key
from lifecycle.loader.plan import Allowance


class Preloads:
    """Follows preloaded agents until they are used, or are not.

    Attributes:
        allowance: How many may be held that nobody has used.
        loaded: Agents that were preloaded.
        failed: Agents that could not be.
        waiting: Those that are held and were not used yet, and since when, in seconds since 1970 UTC.
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
        """Preloaded agents that are held and were not used yet."""
        return len(self.waiting)

    @property
    def left(self) -> int:
        """How many more may be preloaded now."""
        return self.allowance.left(len(self.waiting))

    def add(self, key: Key, now: float) -> None:
        """Note that the agent was preloaded."""
        self.loaded += 1
        self._failed.pop(key, None)
        self.waiting[key] = now

    def fail(self, key: Key) -> None:
        """Note that it could not be. One that fails again and again is not tried for ever."""
        self.failed += 1
        self._failed[key] += 1
        if len(self._failed) > 1000:
            self._failed.clear()

    def hopeless(self, key: Key) -> bool:
        """Return whether preloading the agent has failed three times in a row."""
        return self._failed[key] >= 3

    def used(self, key: Key) -> bool:
        """Note a use of an agent; return whether that is what it was preloaded for."""
        if not self.waiting or self.waiting.pop(key, None) is None:
            return False
        self.allowance = self.allowance.after_use()
        return True

    def removed(self, key: Key) -> bool:
        """Note that an agent is not held any more; return whether it was preloaded in vain."""
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
