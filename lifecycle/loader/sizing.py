"""How many agents a worker's cache may hold, by what is asked of it and the memory there is. Rules over values."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from lifecycle.loader.activity import Key

_REGRETTED = 0.01
"""Share of look-ups, 0-1, of agents that were held until lately, from which on a larger cache pays."""
_NEARLY = 0.9
"""From this share of the memory it may use on, a worker's cache grows no more."""


@dataclass(frozen=True, slots=True)
class SizeBounds:
    """Between what a cache's size may be.

    Attributes:
        least: Fewest places, at least 1; what it begins with.
        most: Most places; with `least` the size is fixed.
        memory_share: Share of the worker's memory, 0-1, from which on the cache gives places back.
    """

    least: int
    most: int
    memory_share: float


@dataclass(frozen=True, slots=True)
class CacheLoad:
    """What was asked of a cache lately.

    Attributes:
        capacity: Its places.
        used: How many of the agents that it holds were used.
        lookups: Look-ups.
        regretted: Look-ups of agents that it let go of for want of room.
        memory_share: What the worker uses of its memory, 0-1; None where that is not known.
    """

    capacity: int
    used: int
    lookups: int
    regretted: int
    memory_share: float | None = None


def fitting_size(load: CacheLoad, bounds: SizeBounds) -> int:
    """Return how many places a cache should have.

    It grows by a quarter where more places would have hit, shrinks by a quarter where less than half of them were used
    and none was missed, and gives back a quarter at a time while memory is short.
    """
    smaller, larger = load.capacity * 3 // 4, max(load.capacity + 1, load.capacity * 5 // 4)
    memory = load.memory_share or 0.0
    wanted = load.capacity
    if memory >= bounds.memory_share:
        wanted = smaller
    elif load.regretted and load.regretted >= _REGRETTED * load.lookups:
        wanted = larger if memory < _NEARLY * bounds.memory_share else load.capacity
    elif not load.regretted and load.used < load.capacity / 2:
        wanted = smaller
    return max(bounds.least, min(bounds.most, wanted))


class Regrets:
    """Counts look-ups of agents that were let go of for want of room lately. Only misses come here.

    Attributes:
        count: How many, since the count was taken last.
    """

    def __init__(self, remembered: int) -> None:
        """Remember so many agents that went; 0 for none."""
        self._remembered = remembered
        self._gone: OrderedDict[Key, None] = OrderedDict()
        self.count = 0

    def evicted(self, key: Key) -> None:
        """Note an agent that went."""
        if not self._remembered:
            return
        self._gone[key] = None
        self._gone.move_to_end(key)
        if len(self._gone) > self._remembered:
            self._gone.popitem(last=False)

    def missed(self, key: Key) -> None:
        """Note a look-up that found nothing."""
        if key in self._gone:
            del self._gone[key]
            self.count += 1
