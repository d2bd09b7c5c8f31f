"""The latest events of a stream in memory: what has been read, and what a reader still lacks. Pure."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from kernel.journal import Event
from kernel.lazy_dataclass import dataclass
from lifecycle.events.streams import Position, advanced

Numbered = tuple[int, Event]
_KEPT = 500


@dataclass(frozen=True, slots=True)
class NewEvents:
    """New events for a reader.

    Attributes:
        events: Events, each with the position after it.
        position: The reader's position, after the events it did not want too.
        expired: Whether events were skipped because they are deleted.
    """

    events: Sequence[tuple[Position, Event]]
    position: Position
    expired: bool = False


class Tail:
    """The latest events, in the order in which this process read them."""

    def __init__(self, ends: Sequence[int]) -> None:
        self._starts = list(ends)
        self._ends = list(ends)
        self._events: deque[tuple[int, int, Event]] = deque()

    @property
    def ends(self) -> Position:
        """For each shard, the number of the next event."""
        return tuple(self._ends)

    @property
    def starts(self) -> Position:
        """For each shard, the number of the first event in the tail."""
        return tuple(self._starts)

    def add(self, shard: int, found: Sequence[Numbered]) -> bool:
        """Add events after the shard's last one, and return whether there are any; known ones are skipped."""
        before = self._ends[shard]
        for number, event in found:
            if number >= self._ends[shard]:
                if number > self._ends[shard]:
                    self._starts[shard] = number  # events in between are deleted
                self._events.append((shard, number, event))
                self._ends[shard] = number + 1
        while len(self._events) > _KEPT:
            gone_shard, number, _ = self._events.popleft()
            self._starts[gone_shard] = number + 1
        return self._ends[shard] > before

    def reach(self, ends: Sequence[int]) -> None:
        """Set the least number of each shard's next event: earlier events not in the tail are deleted."""
        for shard, end in enumerate(ends):
            if self._ends[shard] < end:
                self._starts[shard] = self._ends[shard] = end

    def behind(self, position: Position) -> Sequence[int]:
        """Return the shards in which a reader at this position lacks events before the tail."""
        return [shard for shard, number in enumerate(position) if number < self._starts[shard]]

    def after(self, position: Position, wanted: Callable[[Event], bool], limit: int) -> NewEvents:
        """Return up to `limit` events of the tail after the position, which must not be before the tail."""
        lacking = sum(max(0, end - number) for number, end in zip(position, self._ends, strict=True))
        found: list[tuple[int, int, Event]] = []  # all events it lacks are here
        for each in reversed(self._events):
            if len(found) == lacking:
                break
            if each[1] >= position[each[0]]:
                found.append(each)
        return passed(position, reversed(found), wanted, limit)


def passed(
    position: Position,
    events: Iterable[tuple[int, int, Event]],
    wanted: Callable[[Event], bool],
    limit: int,
) -> NewEvents:
    """Return the first of the events (shard, number, event), up to `limit` wanted ones."""
    events_found: list[tuple[Position, Event]] = []
    for shard, number, event in events:
        position = advanced(position, shard, number)
        if wanted(event):
            events_found.append((position, event))
            if len(events_found) == limit:
                break
    return NewEvents(events_found, position)


def merged(shards: Sequence[tuple[int, Sequence[Numbered]]], limit: int) -> Sequence[tuple[int, int, Event]]:
    """Return up to `limit` events of the shards as one list: by time, keeping each shard's order."""
    flat = [[(shard, number, event) for number, event in found] for shard, found in shards]
    return list(islice(heapq.merge(*flat, key=lambda each: each[2].at), limit))
