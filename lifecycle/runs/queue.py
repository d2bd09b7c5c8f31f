"""What the rest of lifecycle needs of the run queue, be it one or one for each priority."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from lifecycle.conversations.envelope import NO_HEADERS, MessageHeaders
from lifecycle.conversations.priority import Priority
from lifecycle.runs.provenance import Origin

if TYPE_CHECKING:
    from lifecycle.conversations.submission import Submission


class QueueMessage(Protocol):
    """What a message of the queue asks for: a run, or a workflow run."""

    @property
    def workspace(self) -> str:
        """Whose it is."""
        ...

    @property
    def run_id(self) -> str:
        """The run, or the workflow run."""
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
        id: Names it, and says where it stands among the dead ones.
        sequence_number: Its number in its own queue.
        message_id: Its MessageId, if it has one.
        session_id: Its SessionId, if it has one.
        body: Its body.
        redriven: How often it had been redriven when it was dead-lettered.
        reason: The broker's reason, e.g. `MaxDeliveryCountExceeded`.
        deliveries: How often it was delivered.
        enqueued_at: When it was first put on the queue, aware UTC.
        priority: That of the queue it was on.
        origin: What it says of where it comes from.
        headers: What it says beside its body.
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

    async def send(self, submission: Submission, at: datetime | None = None) -> None:
        """Put the submission on the queue, to be delivered from that time on; returns once the broker has accepted it.

        None delivers it at once.
        """
        ...

    async def dead(self, limit: int, from_id: int = 0) -> Sequence[DeadMessage]:
        """Return up to `limit` dead messages in order of their ids, from the id on, leaving them where they are.

        There may be fewer; none means that there are no more.
        """
        ...

    async def redrive(self, letter_id: int, submission: QueueMessage, redriven: int) -> None:
        """Put a dead message back on the queue as this one, and remove it from the dead ones.

        Raises:
            NotFound: It is no longer there.
        """
        ...

    async def discard(self, letter_id: int) -> None:
        """Remove a dead message for good.

        Raises:
            NotFound: It is no longer there.
        """
        ...

    async def aclose(self) -> None:
        """Close the connection."""
        ...
