"""The end of a stream as this process has seen it: pure bookkeeping of what has come and what a reader still lacks."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from kernel.journal import Event
from lifecycle.events.cursors import Position, advanced

Numbered = tuple[int, Event]
_KEPT = 500


@dataclass(frozen=True, slots=True)
class NewEvents:
    """What a reader gets.

    Attributes:
        events: Events, each with the position after it.
        position: Where the reader is now, having also passed over what it does not want.
        expired: Whether events were passed over because they are not kept any more.
    """

    events: Sequence[tuple[Position, Event]]
    position: Position
    expired: bool = False


class Tail:
    """The latest events, in the order they came to this process."""

    def __init__(self, ends: Sequence[int]) -> None:
        self._starts = list(ends)
        self._ends = list(ends)
        self._events: deque[tuple[int, int, Event]] = deque()

    @property
    def ends(self) -> Position:
        """Of every shard the number of the next event to come."""
        return tuple(self._ends)

    @property
    def starts(self) -> Position:
        """Of every shard the number from which on its events are here."""
        return tuple(self._starts)

    def add(self, shard: int, found: Sequence[Numbered]) -> bool:
        """Add what follows the shard's last event and return whether anything does; what is known already stays."""
        before = self._ends[shard]
        for number, event in found:
            if number >= self._ends[shard]:
                if number > self._ends[shard]:
                    self._starts[shard] = number  # what was between is kept no longer
                self._events.append((shard, number, event))
                self._ends[shard] = number + 1
        while len(self._events) > _KEPT:
            gone, number, _ = self._events.popleft()
            self._starts[gone] = number + 1
        return self._ends[shard] > before

    def reach(self, ends: Sequence[int]) -> None:
        """Take note that what comes next has at least these numbers: what was before and is not here, is not kept."""
        for shard, end in enumerate(ends):
            if self._ends[shard] < end:
                self._starts[shard] = self._ends[shard] = end

    def behind(self, position: Position) -> Sequence[int]:
        """Return the shards in which a reader at this position lacks events that are not here."""
        return [shard for shard, number in enumerate(position) if number < self._starts[shard]]

    def after(self, position: Position, wanted: Callable[[Event], bool], limit: int) -> NewEvents:
        """Return up to `limit` of what is here and has not come to a reader at this position, which lacks no other."""
        lacking = sum(max(0, end - number) for number, end in zip(position, self._ends, strict=True))
        found: list[tuple[int, int, Event]] = []  # each event it lacks is here, so no further than the last is looked
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
    """Return what a reader gets of the events (shard, number, event), up to `limit` that it wants."""
    told: list[tuple[Position, Event]] = []
    for shard, number, event in events:
        position = advanced(position, shard, number)
        if wanted(event):
            told.append((position, event))
            if len(told) == limit:
                break
    return NewEvents(told, position)


def merged(shards: Sequence[tuple[int, Sequence[Numbered]]], limit: int) -> Sequence[tuple[int, int, Event]]:
    """Return up to `limit` events of the shards as one list: by time, but never against a shard's own order."""
    flat = [[(shard, number, event) for number, event in found] for shard, found in shards]
    return list(islice(heapq.merge(*flat, key=lambda each: each[2].at), limit))
