"""The two run queues as one: the priority queue pattern over queues that have no priorities themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from lifecycle.conversations.priority import Priority
from lifecycle.runs.queue import DeadMessage, QueueMessage, RunQueue

if TYPE_CHECKING:
    from lifecycle.conversations.submission import Submission

_ORDER = (Priority.NORMAL, Priority.HIGH)
_COUNT = len(_ORDER)


class PriorityQueues:
    """Sends each run to the queue of its priority, and looks after the dead ones of both.

    A dead message's id is its id in its own queue times two, plus one in the queue of high priority: so it leads back
    to its queue, and reading on from an id reads on in both.
    """

    def __init__(self, queues: Mapping[Priority, RunQueue]) -> None:
        """Set the queue of each priority."""
        self._queues = [queues[priority] for priority in _ORDER]

    async def send(self, submission: Submission, at: datetime | None = None) -> None:
        """Put the submission on the queue of its priority, to be delivered from that time on; None for at once."""
        await self._queues[_ORDER.index(submission.priority)].send(submission, at)

    async def dead(self, limit: int, from_id: int = 0) -> Sequence[DeadMessage]:
        """Return up to `limit` dead messages in order of their ids, from the id on, leaving them where they are."""
        pages = await asyncio.gather(
            *(self._dead(place, limit, max(0, -((place - from_id) // _COUNT))) for place in range(_COUNT))
        )
        # What a queue has after a full page is not known, and must not be passed over for what the other one has.
        known = min((page[-1].id for page in pages if len(page) == limit), default=None)
        found = [each for page in pages for each in page if known is None or each.id <= known]
        return sorted(found, key=lambda each: each.id)[:limit]

    async def redrive(self, letter_id: int, submission: QueueMessage, redriven: int) -> None:
        """Put a dead message back on the queue it was on, as the submission, and remove it from the dead ones.

        Raises:
            NotFound: It is no longer there.
        """
        number, place = divmod(letter_id, _COUNT)
        await self._queues[place].redrive(number, submission, redriven)

    async def discard(self, letter_id: int) -> None:
        """Remove a dead message for good.

        Raises:
            NotFound: It is no longer there.
        """
        number, place = divmod(letter_id, _COUNT)
        await self._queues[place].discard(number)

    async def aclose(self) -> None:
        """Close the connections."""
        await asyncio.gather(*(queue.aclose() for queue in self._queues))

    async def _dead(self, place: int, limit: int, from_id: int) -> Sequence[DeadMessage]:
        found: list[DeadMessage] = []
        while len(found) < limit:
            page = await self._queues[place].dead(limit - len(found), from_id)
            if not page:
                break  # a page can be short although there is more; an empty one is the end
            found += page
            from_id = page[-1].id + 1
        return [replace(message, id=message.id * _COUNT + place) for message in found]
