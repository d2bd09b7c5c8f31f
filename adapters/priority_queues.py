"""The run queues as one: the priority queue pattern, with one queue for each priority."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from lifecycle.conversations.session_priority import Priority

if TYPE_CHECKING:
    from lifecycle.conversations.run_request import Submission
    from lifecycle.runs.run_queue import DeadMessage, QueueMessage, RunQueue

_ORDER = (Priority.NORMAL, Priority.HIGH, Priority.LOW)


class PriorityQueues:
    """Sends each run to the queue of its priority, and handles the dead letters of all queues.

    The id of a dead letter is its id in its queue times the number of queues, plus the index of that queue: it
    identifies the queue, and reading on from an id continues in all queues.
    """

    def __init__(self, queues: Mapping[Priority, RunQueue]) -> None:
        """Set the queue of each priority."""
        self._order = [priority for priority in _ORDER if priority in queues]
        self._queues = [queues[priority] for priority in self._order]
        self._count = len(self._queues)

    def open(self) -> None:
        """Connect in the background to the queue that most runs are sent to."""
        self._queues[0].open()

    async def send(self, submission: Submission, at: datetime | None = None) -> None:
        """Put the submission on the queue of its priority, delivered from that time on; None for at once."""
        await self._queues[self._order.index(submission.priority)].send(submission, at)

    async def dead(self, limit: int, from_id: int = 0) -> Sequence[DeadMessage]:
        """Return up to `limit` dead letters in order of id, starting at an id, without removing them."""
        pages = await asyncio.gather(
            *(self._dead(place, limit, max(0, -((place - from_id) // self._count))) for place in range(self._count))
        )
        # After a full page of one queue, its next ids are unknown: larger ids of other queues must wait for the next
        # page.
        known = min((page[-1].id for page in pages if len(page) == limit), default=None)
        found = [each for page in pages for each in page if known is None or each.id <= known]
        return sorted(found, key=lambda each: each.id)[:limit]

    async def redrive(self, letter_id: int, submission: QueueMessage, redriven: int) -> None:
        """Put a dead letter back on its queue as the submission, and remove it from the dead letters.

        Raises:
            NotFound: It no longer exists.
        """
        number, place = divmod(letter_id, self._count)
        await self._queues[place].redrive(number, submission, redriven)

    async def discard(self, letter_id: int) -> None:
        """Delete a dead letter.

        Raises:
            NotFound: It no longer exists.
        """
        number, place = divmod(letter_id, self._count)
        await self._queues[place].discard(number)

    async def aclose(self) -> None:
        """Close the connections."""
        await asyncio.gather(*(queue.aclose() for queue in self._queues))

    async def _dead(self, place: int, limit: int, from_id: int) -> Sequence[DeadMessage]:
        found: list[DeadMessage] = []
        while len(found) < limit:
            page = await self._queues[place].dead(limit - len(found), from_id)
            if not page:
                break  # a page may be short although there is more; an empty one is the last
            found += page
            from_id = page[-1].id + 1
        return [replace(message, id=message.id * self._count + place) for message in found]
