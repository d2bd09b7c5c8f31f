"""Retries: whether a run is attempted again, after which delay, and its way back to the queue meanwhile.

The session waits with the run (`Session.retry`): its later runs wait, and are queued in order when the run's next
attempt begins. The message is scheduled as a new one, as the broker cannot delay a redelivery. If a worker dies between
the commit and the message, the redelivery of its own message finds the run and sends the new one; if there is none, the
timer that completes resumptions does.
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from lifecycle.conversations.run_request import Submission, submission_of

if TYPE_CHECKING:
    from lifecycle.conversations.run import Run
    from lifecycle.sessions.pause import SessionPause


class SendAt(Protocol):
    """Puts a submission on the queue, to be delivered at a time; raises Unavailable if that is uncertain."""

    def __call__(self, submission: Submission, at: datetime | None = None) -> Awaitable[None]:
        """Send the submission."""
        ...


class Requeue:
    """Puts runs back on the queue."""

    def __init__(self, send: SendAt, pause: SessionPause) -> None:
        self._send = send
        self._pause = pause

    async def announce(self, run: Run) -> None:
        """Enter the run's session in the timer's index, before it waits for the run."""
        await self._pause.announce(run.workspace, run.session_id, run.agent)

    async def send(self, run: Run) -> None:
        """Send the run's message, to be delivered when its next attempt is due."""
        await self._send(submission_of(run), run.dispatch.not_before)

    async def release(self, run: Run) -> None:
        """Queue the runs that waited behind the run, in order."""
        await self._pause.queue_kept(run.workspace, run.session_id, self._deliver)

    async def _deliver(self, submission: Submission) -> None:
        await self._send(submission)


_LONGEST_BACK_OFF_S = 30.0


def last_attempt(number: int, most: int, *, redriven: int, waits: int) -> bool:
    """Return whether the attempt is the run's last one.

    Args:
        number: Number of the attempt, from 1.
        most: Attempts allowed since submission, and again since each redrive.
        redriven: How often it was redriven.
        waits: Attempts that do not count: postponed for lack of capacity, stopped by a budget or an approval, or handed
            over.
    """
    return number >= most * (redriven + 1) + waits


def tries(number: int, most: int, *, redriven: int, waits: int) -> int:
    """Return the number of the attempt, from 1, since the run was submitted or last redriven."""
    return max(1, number - most * redriven - waits)


def retry_delay_s(tries: int, base_s: float, retry_after_s: float | None, longest_s: float) -> float:
    """Return the seconds to wait before the next attempt.

    The delay doubles from `base_s` up to 30 s. A longer delay that the provider asks for is used, up to `longest_s`.
    """
    own = min(base_s * 2.0 ** max(0, tries - 1), _LONGEST_BACK_OFF_S)
    return min(max(own, retry_after_s or 0.0), max(longest_s, own))
