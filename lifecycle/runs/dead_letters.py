"""Dead letters: failed runs, and dead-lettered messages without a failed run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from kernel.codec import Unreadable
from kernel.errors import AppError, Conflict, InternalError, InvalidInput, NotFound
from kernel.journal import Event, Journal
from lifecycle.conversations import run_transitions as runs
from lifecycle.conversations.message_delivery import misuse
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.run_request import Submission, parse_message, submission_of
from lifecycle.conversations.run_transitions import WORKER_LOST
from lifecycle.conversations.session import SessionState
from lifecycle.conversations.session_updates import outcome
from lifecycle.runs.failed_runs import DeadLetter, FailedRunStore, redriven

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.conversations.session_priority import Priority
    from lifecycle.conversations.session_store import ConversationChange, ConversationStore, StoredConversation
    from lifecycle.runs.fact_writer import FactWriter
    from lifecycle.runs.message_signatures import Provenance
    from lifecycle.runs.run_queue import DeadMessage, QueueMessage, RunQueue

log = logging.getLogger(__name__)

_PAGE = 100
_REMOVED_AT_ONCE = 20
_NOT_NEEDED = "not_needed"


class ReadWorkflow(Protocol):
    """Parses a message that starts a workflow; returns None for others, raises InvalidInput if not valid."""

    def __call__(
        self,
        body: bytes,
        *,
        message_id: str | None,
        session_id: str | None,
        sequence_number: int,
        priority: Priority,
        max_input_bytes: int,
    ) -> QueueMessage | None:
        """Parse a message."""
        ...


class DeadMessageReader:
    """Parses dead messages."""

    def __init__(self, provenance: Provenance, max_query_bytes: int, read_workflow: ReadWorkflow) -> None:
        self._provenance = provenance
        self._max_query_bytes = max_query_bytes
        self._read_workflow = read_workflow

    def read(self, message: DeadMessage) -> Submission | QueueMessage | InvalidInput:
        """Return what the message submits; or the error, if it is not valid or may not name its workspace."""
        try:
            submission = self._read_workflow(
                message.body,
                message_id=message.message_id,
                session_id=message.session_id,
                sequence_number=message.sequence_number,
                priority=message.priority,
                max_input_bytes=self._max_query_bytes,
            ) or parse_message(
                message.body,
                message_id=message.message_id,
                session_id=message.session_id,
                sequence_number=message.sequence_number,
                priority=message.priority,
                max_query_bytes=self._max_query_bytes,
                headers=message.headers,
            )
            self._provenance.check(message.origin, submission.workspace, message.body)
        except InvalidInput as error:
            return error
        return submission


class DeadLetters:
    """Lists, redrives, discards and accounts for dead letters."""

    def __init__(
        self,
        queue: RunQueue,
        conversations: ConversationStore,
        failed: FailedRunStore,
        recorder: FactWriter,
        journal: Journal,
        reader: DeadMessageReader,
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._conversations = conversations
        self._failed = failed
        self._recorder = recorder
        self._journal = journal
        self._reader = reader
        self._clock = clock

    async def list(
        self, workspace: str, limit: int, after: str | int | None = None
    ) -> tuple[Sequence[DeadLetter], str | int | None]:
        """Return up to `limit` of the workspace's dead letters, and the position to continue after; None at the end.

        Failed runs come first, by the time they were accepted; then messages, by their numbers.
        """
        found: list[DeadLetter] = []
        while not isinstance(after, int):
            page, following = await self._failed.page(workspace, after or "", min(_PAGE, limit + 1 - len(found)))
            for key, letter in page:
                if len(found) == limit:
                    return found, after
                found.append(letter)
                after = key
            after = 0 if following is None else following
        return await self._messages(workspace, limit, after, found)

    async def _messages(
        self, workspace: str, limit: int, after: int, found: list[DeadLetter]
    ) -> tuple[Sequence[DeadLetter], int | None]:
        while True:
            page = await self._queue.dead(_PAGE, after + 1)
            letters = await asyncio.gather(*(self._letter(message) for message in page))
            for message, letter in zip(page, letters, strict=True):
                if letter is not None and letter.workspace == workspace:
                    if len(found) == limit:
                        return found, after
                    found.append(letter)
                after = message.id
            if not page:
                return found, None

    async def redrive(self, workspace: str, letter_id: str) -> Submission | QueueMessage:
        """Put the run, or the message that starts a workflow, back on the queue.

        A redriven run has as many attempts as a new one; the count of attempts continues.

        Args:
            workspace: The workspace.
            letter_id: A failed run's id, or a message's number.

        Raises:
            NotFound: The workspace has no such dead letter.
            Conflict: It can never be run, or its session has ended.
            Unavailable: The broker did not accept the message.
        """
        if not letter_id.isdigit():
            return await self._failed.redrive(workspace, letter_id, self._queue.send)
        message, submission = await self._message(workspace, letter_id)
        if isinstance(submission, InvalidInput):
            raise Conflict(f"It cannot be run: {submission.detail}", code="dead_letter_invalid")
        if not isinstance(submission, Submission):
            await self._queue.redrive(message.id, submission, message.redriven + 1)
            return submission

        def decide(stored: StoredConversation) -> ConversationChange | None:
            if (why := misuse(submission, stored)) is not None:
                raise Conflict(f"It cannot be run: {why}", code="dead_letter_invalid")
            return redriven(stored, self._clock())

        at = await self._conversations.load(submission.workspace, submission.session_id)
        erased = at.session is not None and at.session.state is SessionState.ERASED  # then the message is just removed
        if not erased and (why := await self._why_unrunnable(submission)) is not None:
            raise Conflict(f"It cannot be run: {why}", code="dead_letter_invalid")
        stored = await self._conversations.update(workspace, submission.session_id, submission.run_id, decide)
        run = stored.run
        # The run's present message, whichever message was dead-lettered.
        latest = submission_of(run) if run else submission
        await self._queue.redrive(message.id, latest, run.redriven if run else message.redriven + 1)
        if run is not None:
            await self._failed.forget(run)
        return latest

    async def discard(self, workspace: str, letter_id: str, by: str = "") -> None:
        """Discard a dead letter: a failed run stays failed and is no longer listed, a message is removed.

        An event with the user who did it is published first.

        Raises:
            NotFound: The workspace has no such dead letter.
            Unavailable: Another process has it locked; can be retried.
        """
        if letter_id.isdigit():
            message, _ = await self._message(workspace, letter_id)
            letter = await self._letter(message)
            await self._audit(workspace, letter_id, letter.code if letter else "", by)
            await self._queue.discard(message.id)
            return
        letter = await self._failed.dismiss(workspace, letter_id)
        await self._audit(workspace, letter_id, letter.code, by)

    async def _audit(self, workspace: str, letter_id: str, code: str, by: str) -> None:
        data = {"id": letter_id, "code": code} | ({"by": by} if by else {})
        await self._journal.record(
            workspace, f"discarded:{letter_id}", Event("dead_letter.discarded", data, self._clock())
        )

    async def _message(
        self, workspace: str, letter_id: str
    ) -> tuple[DeadMessage, Submission | QueueMessage | InvalidInput]:
        page = await self._queue.dead(1, int(letter_id))
        message = page[0] if page and page[0].id == int(letter_id) else None
        submission = self._reader.read(message) if message else None
        own = "default" if isinstance(submission, InvalidInput) else submission and submission.workspace
        if message is None or submission is None or own != workspace:
            raise NotFound(f"There is no dead letter {letter_id}.", code="dead_letter_not_found")
        return message, submission

    async def account(self) -> int:
        """Fail the runs of dead messages whose workers died, and return how many.

        Dead messages whose runs have continued or ended are removed, a limited number in each call. A failure for one
        message does not affect others; it is tried again the next time.
        """
        after = count = removed = 0
        while True:
            page = await self._queue.dead(_PAGE, after + 1)
            for message in page:
                after = message.id
                try:
                    lost, run = await self._fail_if_lost(message)
                except AppError as error:
                    log.warning("dead message %s: %s", message.id, error.code, extra={"event": "dead_letter.postponed"})
                    continue
                count += lost
                if (
                    removed < _REMOVED_AT_ONCE
                    and run is not None
                    and _is_obsolete(run, message, self._reader.read(message))
                ):
                    removed += 1
                    with contextlib.suppress(AppError):  # locked by another process; tried again next time
                        await self._queue.discard(message.id)
            if not page:
                return count

    async def _fail_if_lost(self, message: DeadMessage) -> tuple[bool, Run | None]:
        """Fail the message's run if its workers died; return whether they did, and the run."""
        submission = self._reader.read(message)
        if not isinstance(submission, Submission):
            return False, None
        lost = False

        def decide(stored: StoredConversation) -> ConversationChange | None:
            nonlocal lost
            lost = False
            run, now = stored.run, self._clock()
            if stored.session is None or run is None or run.finished or runs.busy_until(run, now):
                return None
            if misuse(submission, stored) is not None:
                return None
            if (
                run.state is RunState.WAITING
                or run.dispatch.not_before is not None
                or submission.resumption < run.resumption
            ):
                return None  # it waits in its session, or another message will run it
            if run.redriven > max(message.redriven, submission.redriven):
                return None  # it was redriven; only this copy has to be removed
            lost = True
            error = InternalError("The worker died at every attempt.", code=WORKER_LOST)
            return outcome(stored.session, run, runs.lost(run, error, now, dead=True), (), (), now)

        ids = (submission.workspace, submission.session_id, submission.run_id)
        stored = await self._conversations.update(*ids, decide)
        if lost and stored.run is not None:
            await self._recorder.record(stored.run)
        return lost, None if misuse(submission, stored) is not None else stored.run

    async def _letter(self, message: DeadMessage) -> DeadLetter | None:
        """Return the message as a dead letter; None if its run is listed as failed."""
        submission = self._reader.read(message)
        if isinstance(submission, InvalidInput):
            return DeadLetter(
                str(message.id),
                "default",
                submission.code,
                submission.detail,
                redrivable=False,
                run_id=None,
                session_id=message.session_id,
                agent=None,
                deliveries=message.deliveries,
                enqueued_at=message.enqueued_at,
            )
        if not isinstance(submission, Submission):
            return DeadLetter(
                str(message.id),
                submission.workspace,
                "workflow_not_started",
                "The workflow was not run: there was none of that name, or the storage could not be reached.",
                redrivable=True,
                run_id=submission.run_id,
                session_id=message.session_id,
                agent=None,
                deliveries=message.deliveries,
                enqueued_at=message.enqueued_at,
            )
        try:
            stored = await self._conversations.load(submission.workspace, submission.session_id, submission.run_id)
        except Unreadable as error:  # which may be why the message is dead
            return self._of_run(message, submission, error.code, error.detail, redrivable=False)
        misused = misuse(submission, stored)
        if misused is None and stored.run is not None and stored.run.dead:
            return None
        if misused is None and stored.run is None:
            misused = await self._why_unrunnable(submission)
        code, detail = ("invalid_message", misused) if misused is not None else _why(stored)
        redrivable, accepted = misused is None and code != _NOT_NEEDED, stored.run is not None
        return self._of_run(message, submission, code, detail, redrivable=redrivable, accepted=accepted)

    def _of_run(
        self,
        message: DeadMessage,
        submission: Submission,
        code: str,
        detail: str,
        *,
        redrivable: bool,
        accepted: bool = True,
    ) -> DeadLetter:
        return DeadLetter(
            str(message.id),
            submission.workspace,
            code,
            detail,
            redrivable=redrivable,
            run_id=submission.run_id if accepted or submission.query is not None else None,
            session_id=submission.session_id,
            agent=submission.agent,
            deliveries=message.deliveries,
            enqueued_at=message.enqueued_at,
        )

    async def _why_unrunnable(self, submission: Submission) -> str | None:
        """Return why a message whose run is not in its session can never be run; None if it is."""
        session_id = await self._failed.session_of(submission.workspace, submission.run_id)
        if session_id not in (None, submission.session_id):
            return "The run id was used for a run of another session."
        if session_id is None and submission.query is None:
            return "The body has no query, and there is no run of that id."
        return None


def _is_obsolete(run: Run, message: DeadMessage, submission: Submission | QueueMessage | InvalidInput) -> bool:
    """Return whether the run has ended or was queued again, so that its dead message can be removed."""
    sent = submission.redriven if isinstance(submission, Submission) else 0
    return (run.finished and not run.dead) or run.redriven > max(message.redriven, sent)


def _why(stored: StoredConversation) -> tuple[str, str]:
    run, session = stored.run, stored.session
    if session is not None and session.state is SessionState.ERASED:
        return _NOT_NEEDED, "Its session was erased."
    if run is None:
        return "not_accepted", "It never became a run: its agent or session did not allow it."
    if run.error is None or run.state is not RunState.FAILED:
        return _NOT_NEEDED, f"Its run is {run.state.value}."
    return run.error.code, run.error.detail
