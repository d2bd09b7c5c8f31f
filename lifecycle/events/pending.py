"""A session's events between their commit and their publication: pure bookkeeping of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kernel.journal import Event

Numbered = tuple[int, Event]


@dataclass(frozen=True, slots=True)
class EventRange:
    """Numbers without a gap, and the events among them that are to be published.

    Attributes:
        first: The first number.
        end: The number after the last.
        events: The events to publish, with their numbers; a number without one is not for the stream.
    """

    first: int
    end: int
    events: tuple[Numbered, ...]


@dataclass(slots=True)
class Pending:
    """What is still to be published of one session, as far as this process committed it."""

    _stretches: list[EventRange] = field(default_factory=list[EventRange])

    @property
    def wanted(self) -> bool:
        """Whether there is an event to publish."""
        return any(stretch.events for stretch in self._stretches)

    @property
    def empty(self) -> bool:
        """Whether nothing is noted."""
        return not self._stretches

    def add(self, stretch: EventRange) -> None:
        """Add what was committed; numbers that are there already are added once."""
        self._stretches = list(_joined([*self._stretches, stretch]))

    def take(self) -> Sequence[EventRange]:
        """Return the stretches up to the last one with an event, in order, and leave the others."""
        last = max((place for place, stretch in enumerate(self._stretches) if stretch.events), default=-1)
        taken, self._stretches = self._stretches[: last + 1], self._stretches[last + 1 :]
        return taken


def _joined(stretches: Sequence[EventRange]) -> Iterator[EventRange]:
    """Yield the stretches in order, those that touch or overlap as one."""
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
