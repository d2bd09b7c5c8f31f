"""What the rest of lifecycle needs of the run queue; `adapters.service_bus` is the one implementation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lifecycle.runs.submissions import Submission


@dataclass(frozen=True, slots=True)
class DeadMessage:
    """A message in the dead-letter queue.

    Attributes:
        sequence_number: Its number in the queue; names it.
        message_id: Its MessageId, if it has one.
        session_id: Its SessionId, if it has one.
        body: Its body.
        redriven: How often it had been redriven when it was dead-lettered.
        reason: The broker's reason, e.g. `MaxDeliveryCountExceeded`.
        deliveries: How often it was delivered.
        enqueued_at: When it was first put on the queue, aware UTC.
    """

    sequence_number: int
    message_id: str | None
    session_id: str | None
    body: bytes
    redriven: int
    reason: str
    deliveries: int
    enqueued_at: datetime


class RunQueue(Protocol):
    """The queue of runs. Every method raises Unavailable when the broker cannot be reached."""

    async def send(self, submission: Submission) -> None:
        """Put the submission on the queue; returns once the broker has accepted it."""
        ...

    async def dead(self, limit: int, from_sequence_number: int = 0) -> Sequence[DeadMessage]:
        """Return up to `limit` dead messages in order, from the sequence number on, leaving them where they are."""
        ...

    async def redrive(self, sequence_number: int, submission: Submission, redriven: int) -> None:
        """Put a dead message back on the queue as the submission, and remove it from the dead ones.

        Raises:
            NotFound: It is no longer there.
        """
        ...

    async def aclose(self) -> None:
        """Close the connection."""
        ...
