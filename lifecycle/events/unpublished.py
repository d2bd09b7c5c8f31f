"""Bookkeeping of a session's events between their commit and their publication. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field

from kernel.journal import Event
from kernel.lazy_dataclass import dataclass

Numbered = tuple[int, Event]


@dataclass(frozen=True, slots=True)
class EventRange:
    """A gapless range of event numbers, with those events among them that are published.

    Attributes:
        first: The first number.
        end: The number after the last.
        events: The events to publish, with their numbers; numbers without an event are not for the stream.
    """

    first: int
    end: int
    events: tuple[Numbered, ...]


@dataclass(slots=True)
class Pending:
    """What this process has committed in a session and not yet published."""

    _stretches: list[EventRange] = field(default_factory=list[EventRange])

    @property
    def wanted(self) -> bool:
        """Whether there are events to publish."""
        return any(stretch.events for stretch in self._stretches)

    @property
    def empty(self) -> bool:
        """Whether there are no ranges."""
        return not self._stretches

    def add(self, stretch: EventRange) -> None:
        """Add a committed range; numbers that are present already are added once."""
        self._stretches = list(_joined([*self._stretches, stretch]))

    def take(self) -> Sequence[EventRange]:
        """Remove and return the ranges up to the last one with an event, in order."""
        last = max((place for place, stretch in enumerate(self._stretches) if stretch.events), default=-1)
        taken, self._stretches = self._stretches[: last + 1], self._stretches[last + 1 :]
        return taken


def _joined(stretches: Sequence[EventRange]) -> Iterator[EventRange]:
    """Yield the ranges in order, joining those that touch or overlap."""
    current: EventRange | None = None
    for stretch in sorted(stretches, key=lambda each: (each.first, each.end)):
        if current is None or stretch.first > current.end:
            if current is not None:
                yield current
            current = stretch
        elif stretch.end > current.end:
            more = tuple(each for each in stretch.events if each[0] >= current.end)
            current = EventRange(current.first, stretch.end, current.events + more)
    if current is not None:
        yield current
