"""Interface of the run queue; there may be one for each priority."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.message_headers import NO_HEADERS, MessageHeaders
from lifecycle.conversations.session_priority import Priority
from lifecycle.runs.message_signatures import Origin

if TYPE_CHECKING:
    from lifecycle.conversations.run_request import Submission


class QueueMessage(Protocol):
    """What a queue message submits: a run or a workflow run."""

    @property
    def workspace(self) -> str:
        """Its workspace."""
        ...

    @property
    def run_id(self) -> str:
        """Id of the run or workflow run."""
        ...

    @property
    def session_id(self) -> str:
        """The message's SessionId."""
        ...

    def to_json(self) -> str:
        """Return the message's body."""
        ...


@dataclass(frozen=True, slots=True)
class DeadMessage:
    """A message in the dead-letter queue.

    Attributes:
        id: Its id and position in the dead-letter queue.
        sequence_number: Its number in its own queue.
        message_id: Its MessageId; None if it has none.
        session_id: Its SessionId; None if it has none.
        body: Its body.
        redriven: How often its run had been redriven when it was dead-lettered.
        reason: The broker's reason, e.g. `MaxDeliveryCountExceeded`.
        deliveries: How often it was delivered.
        enqueued_at: When it was first put on the queue, aware UTC.
        priority: Priority of its queue.
        origin: Where it comes from.
        headers: Its other headers.
    """

    id: int
    sequence_number: int
    message_id: str | None
    session_id: str | None
    body: bytes
    redriven: int
    reason: str
    deliveries: int
    enqueued_at: datetime
    priority: Priority
    origin: Origin
    headers: MessageHeaders = NO_HEADERS


class RunQueue(Protocol):
    """The queue of runs. Every method raises Unavailable when the broker cannot be reached."""

    def open(self) -> None:
        """Connect in the background, if it is not connected; errors are left to the first call that needs it."""
        ...

    async def send(self, submission: Submission, at: datetime | None = None) -> None:
        """Put the submission on the queue, to be delivered at that time; return once the broker has accepted it.

        None delivers it at once.
        """
        ...

    async def dead(self, limit: int, from_id: int = 0) -> Sequence[DeadMessage]:
        """Return up to `limit` dead messages in order of id, starting with `from_id`, without removing them.

        There may be fewer before the end; an empty result means the end.
        """
        ...

    async def redrive(self, letter_id: int, submission: QueueMessage, redriven: int) -> None:
        """Put `submission` on the queue in place of a dead message, and remove that from the dead-letter queue.

        Raises:
            NotFound: The dead message does not exist any more.
        """
        ...

    async def discard(self, letter_id: int) -> None:
        """Remove a dead message.

        Raises:
            NotFound: It does not exist any more.
        """
        ...

    async def aclose(self) -> None:
        """Close the connection."""
        ...
