"""The end of a stream as this process has seen it: pure bookkeeping of what has come and what a reader still lacks."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from kernel.journal import Event
from lifecycle.events.positions import Position, advanced

Numbered = tuple[int, Event]
_KEPT = 500


@dataclass(frozen=True, slots=True)
class News:
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
        """Of every lane the number of the next event to come."""
        return tuple(self._ends)

    @property
    def starts(self) -> Position:
        """Of every lane the number from which on its events are here."""
        return tuple(self._starts)

    def add(self, lane: int, found: Sequence[Numbered]) -> bool:
        """Add what follows the lane's last event and return whether anything does; what is known already stays."""
        before = self._ends[lane]
        for number, event in found:
            if number >= self._ends[lane]:
                if number > self._ends[lane]:
                    self._starts[lane] = number  # what was between is kept no longer
                self._events.append((lane, number, event))
                self._ends[lane] = number + 1
        while len(self._events) > _KEPT:
            gone, number, _ = self._events.popleft()
            self._starts[gone] = number + 1
        return self._ends[lane] > before

    def reach(self, ends: Sequence[int]) -> None:
        """Take note that what comes next has at least these numbers: what was before and is not here, is not kept."""
        for lane, end in enumerate(ends):
            if self._ends[lane] < end:
                self._starts[lane] = self._ends[lane] = end

    def behind(self, position: Position) -> Sequence[int]:
        """Return the lanes in which a reader at this position lacks events that are not here."""
        return [lane for lane, number in enumerate(position) if number < self._starts[lane]]

    def after(self, position: Position, wanted: Callable[[Event], bool], limit: int) -> News:
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
) -> News:
    """Return what a reader gets of the events (lane, number, event), up to `limit` that it wants."""
    told: list[tuple[Position, Event]] = []
    for lane, number, event in events:
        position = advanced(position, lane, number)
        if wanted(event):
            told.append((position, event))
            if len(told) == limit:
                break
    return News(told, position)


def merged(lanes: Sequence[tuple[int, Sequence[Numbered]]], limit: int) -> Sequence[tuple[int, int, Event]]:
    """Return up to `limit` events of the lanes as one list: by time, but never against a lane's own order."""
    flat = [[(lane, number, event) for number, event in found] for lane, found in lanes]
    return list(islice(heapq.merge(*flat, key=lambda each: each[2].at), limit))
