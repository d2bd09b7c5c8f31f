"""Lists, redrives and dismisses failed runs, from their rows, independently of messages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.codec import if_readable
from kernel.errors import Conflict, NotFound
from kernel.journal import Event
from kernel.lazy_dataclass import dataclass
from lifecycle.conversations import run_transitions as runs
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.run_request import Send, Submission, submission_of
from lifecycle.conversations.session import SessionState
from lifecycle.conversations.session_store import ConversationChange, ConversationStore, StoredConversation

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.conversations.failed_run_index import FailedRun, FailedRuns
    from lifecycle.conversations.run_and_session_indexes import Directory


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A failed run, or a dead-lettered message, as shown to its workspace.

    Attributes:
        id: Id for `redrive` and `discard`: the run's id, or the number of a message without a failed run.
        workspace: Its workspace; `default` for unreadable messages.
        code: Why it is here: the run's error code, `redriven` for a run that is queued again, `invalid_message` for an
            invalid message, `not_accepted` for one whose run was refused, `workspace_not_allowed` or
            `invalid_signature` for one that may not name its workspace, `workflow_not_started` for one that starts a
            workflow, or `not_needed` if its run has continued or ended without it.
        detail: The reason in a sentence.
        redrivable: Whether redriving can help.
        run_id: Its run or workflow run; None if unreadable.
        session_id: Its session; None if it has none.
        agent: Its agent; None if unreadable, or for a workflow.
        deliveries: Number of the run's attempts, or of the message's deliveries.
        enqueued_at: When the run was accepted, or the message first queued, aware UTC.
    """

    id: str
    workspace: str
    code: str
    detail: str
    redrivable: bool
    run_id: str | None
    session_id: str | None
    agent: str | None
    deliveries: int
    enqueued_at: datetime


class FailedRunStore:
    """Lists, redrives and dismisses failed runs."""

    def __init__(self, index: FailedRuns, conversations: ConversationStore, directory: Directory, clock: Clock) -> None:
        self._index = index
        self._conversations = conversations
        self._directory = directory
        self._clock = clock

    async def page(self, workspace: str, after: str, limit: int) -> tuple[Sequence[tuple[str, DeadLetter]], str | None]:
        """Return up to `limit` failed runs with their positions, and the position to continue after; None at the end.

        A page can be short or empty before the end: entries of runs that have continued are removed and skipped, and
        those of unreadable runs are skipped.
        """
        entries = await self._index.after(workspace, after, limit)
        found = await asyncio.gather(
            *(if_readable(self._letter(entry), "run", f"{entry.session_id}/{entry.run_id}") for entry in entries)
        )
        letters = [(entry.key, letter) for entry, letter in zip(entries, found, strict=True) if letter is not None]
        return letters, entries[-1].key if len(entries) == limit else None

    async def session_of(self, workspace: str, run_id: str) -> str | None:
        """Return the id of the run's session; None if the run does not exist."""
        place = await self._directory.find_run(workspace, run_id)
        return place.session_id if place else None

    async def redrive(self, workspace: str, run_id: str, send: Send) -> Submission:
        """Queue the run again; it has as many attempts as a new one, and the count of attempts continues.

        It is queued first and removed from the list last: after an interruption it is still listed and can be redriven
        again.

        Raises:
            NotFound: There is no such failed run.
            Conflict: Its session has ended.
            Unavailable: The broker did not accept the message.
        """
        session_id = await self.session_of(workspace, run_id)
        if session_id is None:
            raise _none(run_id)

        def decide(stored: StoredConversation) -> ConversationChange | None:
            run, session = stored.run, stored.session
            if run is None or session is None or session.state is SessionState.ERASED:
                raise _none(run_id)
            if run.state is not RunState.FAILED:
                return None
            if not run.dead:
                raise _none(run_id)
            return redriven(stored, self._clock())

        stored = await self._conversations.update(workspace, session_id, run_id, decide)
        run = stored.run
        entry = await self._index.find(run) if run else None
        if run is None or entry is None:
            raise _none(run_id)
        submission = submission_of(run)
        if run.state is RunState.QUEUED:
            await send(submission)
        await self._index.remove(entry)
        return submission

    async def forget(self, run: Run) -> None:
        """Remove a run from the list that was redriven otherwise."""
        if (entry := await self._index.find(run)) is not None:
            await self._index.remove(entry)

    async def dismiss(self, workspace: str, run_id: str) -> DeadLetter:
        """Remove the run from the list and return its entry; it stays failed.

        Raises:
            NotFound: There is no such failed run.
        """
        session_id = await self.session_of(workspace, run_id)
        stored = (
            await self._conversations.load(workspace, session_id, run_id)
            if session_id
            else StoredConversation(None, None)
        )
        entry = await self._index.find(stored.run) if stored.run else None
        letter = await self._letter(entry) if entry else None
        if session_id is None or entry is None or letter is None:
            raise _none(run_id)

        def decide(stored: StoredConversation) -> ConversationChange | None:
            if stored.run is None or not stored.run.dead:
                return None
            return ConversationChange(run=replace(stored.run, last=replace(stored.run.last, dead=False)))

        await self._conversations.update(workspace, session_id, run_id, decide)
        await self._index.remove(entry)
        return letter

    async def _letter(self, entry: FailedRun) -> DeadLetter | None:
        stored = await self._conversations.load(entry.workspace, entry.session_id, entry.run_id)
        run, session = stored.run, stored.session
        again = run is not None and run.state is RunState.QUEUED and run.redriven > 0
        if run is None or session is None or not (run.dead or again):
            if run is None or run.finished:
                await self._index.remove(entry)
            return None
        code, detail = "redriven", "It is queued again; redrive it once more if its message was lost."
        if not again and run.error is not None:
            code, detail = run.error.code, run.error.detail
        return DeadLetter(
            run.id,
            run.workspace,
            code,
            detail,
            redrivable=not session.over,
            run_id=run.id,
            session_id=run.session_id,
            agent=run.agent,
            deliveries=run.attempt,
            enqueued_at=run.created_at,
        )


def redriven(stored: StoredConversation, now: datetime) -> ConversationChange | None:
    """Return the change that queues a failed run again; None if it is not failed.

    Raises:
        Conflict: Its session has ended.
    """
    run, session = stored.run, stored.session
    if run is None or session is None or run.state is not RunState.FAILED:
        return None
    if session.over:
        msg = f"Its session has ended ({session.end_reason}); submit the query to a new one."
        raise Conflict(msg, code="session_ended")
    times = run.redriven + 1
    event = Event("run.queued", {"run_id": run.id, "redriven": times}, now)
    return ConversationChange(
        replace(session.counting(pending=1), last_activity=now), runs.requeued(run, times), events=[event]
    )


def _none(run_id: str) -> NotFound:
    return NotFound(f"There is no failed run {run_id!r} to be redriven.", code="dead_letter_not_found")
