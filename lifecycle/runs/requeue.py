"""Puts a run back on the queue for a later attempt, so that no worker waits for it.

The session waits with the run (`Session.retry`): its later runs wait, and are queued in order when the run's next
attempt begins. The message is scheduled as a new one, as the broker cannot delay a redelivery. If a worker dies between
the commit and the message, the redelivery of its own message finds the run and sends the new one; if there is none, the
timer that completes resumptions does.
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from typing import Protocol

from lifecycle.conversations.run import Run
from lifecycle.conversations.submission import Submission, submission_of
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
