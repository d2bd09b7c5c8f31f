"""The size of a worker's cache, by its load and the free memory. Pure rules."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from lifecycle.loader.usage_statistics import Key

_EVICTED_LOOKUPS = 0.01
"""Share of look-ups, 0-1, of recently evicted agents from which on a larger cache pays."""
_NEARLY = 0.9
"""Share of the permitted memory from which on a cache does not grow."""


@dataclass(frozen=True, slots=True)
class SizeBounds:
    """Limits of a cache's size.

    Attributes:
        least: Fewest places, at least 1; the initial size.
        most: Most places; equal to `least` for a fixed size.
        memory_share: Share of the worker's memory, 0-1, from which on the cache shrinks.
    """

    least: int
    most: int
    memory_share: float


@dataclass(frozen=True, slots=True)
class CacheLoad:
    """Load of a cache since its size was last adapted.

    Attributes:
        capacity: Its size.
        used: How many agents in the cache were used.
        lookups: Number of look-ups.
        evicted_lookups: Look-ups of recently evicted agents.
        memory_share: Share of its memory, 0-1, that the worker uses; None if unknown.
    """

    capacity: int
    used: int
    lookups: int
    evicted_lookups: int
    memory_share: float | None = None


def fitting_size(load: CacheLoad, bounds: SizeBounds) -> int:
    """Return the size that a cache should have.

    It grows by a quarter if more places would have given hits; shrinks by a quarter if less than half of them were used
    and no evicted agent was looked up; and shrinks by a quarter while memory is short.
    """
    smaller, larger = load.capacity * 3 // 4, max(load.capacity + 1, load.capacity * 5 // 4)
    memory = load.memory_share or 0.0
    wanted = load.capacity
    if memory >= bounds.memory_share:
        wanted = smaller
    elif load.evicted_lookups and load.evicted_lookups >= _EVICTED_LOOKUPS * load.lookups:
        wanted = larger if memory < _NEARLY * bounds.memory_share else load.capacity
    elif not load.evicted_lookups and load.used < load.capacity / 2:
        wanted = smaller
    return max(bounds.least, min(bounds.most, wanted))


class RecentEvictions:
    """Counts look-ups of recently evicted agents. Only misses are reported here.

    Attributes:
        count: Look-ups since the count was last taken.
    """

    def __init__(self, remembered: int) -> None:
        """Remember this many evicted agents; 0 for none."""
        self._remembered = remembered
        self._gone: OrderedDict[Key, None] = OrderedDict()
        self.count = 0

    def evicted(self, key: Key) -> None:
        """Record an eviction."""
        if not self._remembered:
            return
        self._gone[key] = None
        self._gone.move_to_end(key)
        if len(self._gone) > self._remembered:
            self._gone.popitem(last=False)

    def missed(self, key: Key) -> None:
        """Record a miss."""
        if key in self._gone:
            del self._gone[key]
            self.count += 1
