"""Putting a run back on the queue for a later attempt, so that no worker's slot is held meanwhile.

The session waits with the run (`Session.retry`): what comes for it stays behind, and is queued again in order when the
run's next attempt begins. The message is scheduled, not abandoned: the broker has no delay for what it delivers again.
A worker that dies between the commit and the message is followed by the delivery of its own message, which finds the
run and sends it; where there is none any more, by the timer that finishes resumptions.
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from typing import Protocol

from lifecycle.conversations.run import Run
from lifecycle.conversations.submission import Submission, submission_of
from lifecycle.sessions.pause import SessionPause


class SendAt(Protocol):
    """Puts a submission on the queue, to be delivered from a time on; raises Unavailable where that is not sure."""

    def __call__(self, submission: Submission, at: datetime | None = None) -> Awaitable[None]:
        """Send the submission."""
        ...


class Requeue:
    """The way of a run back to the queue."""

    def __init__(self, send: SendAt, pause: SessionPause) -> None:
        self._send = send
        self._pause = pause

    async def announce(self, run: Run) -> None:
        """Enter the run's session where the timer looks, before it waits for the run."""
        await self._pause.announce(run.workspace, run.session_id, run.agent)

    async def send(self, run: Run) -> None:
        """Send the run's message, to be delivered when its next attempt is due."""
        await self._send(submission_of(run), run.dispatch.not_before)

    async def release(self, run: Run) -> None:
        """Queue what has waited behind the run, in order."""
        await self._pause.queue_kept(run.workspace, run.session_id, self._deliver)

    async def _deliver(self, submission: Submission) -> None:
        await self._send(submission)
