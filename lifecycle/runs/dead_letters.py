"""Runs that the queue gave up on: why each failed, and how it is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kernel.clock import Clock
from kernel.errors import Conflict, InternalError, InvalidInput, NotFound
from kernel.journal import Event
from lifecycle.conversations import run as runs
from lifecycle.conversations.dispatch import misuse
from lifecycle.conversations.run import WORKER_LOST, Run, RunState
from lifecycle.conversations.store import Change, Conversations, Stored
from lifecycle.conversations.submission import Submission, parse_message
from lifecycle.conversations.transitions import outcome
from lifecycle.runs.provenance import Provenance
from lifecycle.runs.queue import DeadMessage, RunQueue
from lifecycle.runs.record import RunRecorder

_PAGE = 100


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead message as its workspace sees it.

    Attributes:
        id: Names it in `redrive`.
        workspace: Whose it is; what cannot be read belongs to `default`.
        code: Why it is here: the run's error code, `invalid_message` for what cannot be read,
            `workspace_not_allowed` or `invalid_signature` for what may not name the workspace that it names,
            `not_accepted` for what never became a run, or `not_needed` when its run goes on or has ended without it.
        detail: The same in a sentence.
        redrivable: Whether redriving makes sense: False for what is no message of ours.
        run_id: Its run; None when it cannot be read.
        session_id: Its session, if it has one.
        agent: The agent asked; None when it cannot be read.
        deliveries: How often it was delivered.
        enqueued_at: When it was put on the queue.
    """

    id: int
    workspace: str
    code: str
    detail: str
    redrivable: bool
    run_id: str | None
    session_id: str | None
    agent: str | None
    deliveries: int
    enqueued_at: datetime


class DeadLetters:
    """Lists, redrives and accounts for dead messages."""

    def __init__(
        self,
        queue: RunQueue,
        conversations: Conversations,
        recorder: RunRecorder,
        *,
        provenance: Provenance,
        max_query_bytes: int,
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._conversations = conversations
        self._recorder = recorder
        self._provenance = provenance
        self._max_query_bytes = max_query_bytes
        self._clock = clock

    async def list(self, workspace: str, limit: int, after: int = 0) -> tuple[Sequence[DeadLetter], int | None]:
        """Return up to `limit` of the workspace's dead letters by id, and the id to continue after."""
        found: list[DeadLetter] = []
        while True:
            page = await self._queue.dead(_PAGE, after + 1)
            letters = await asyncio.gather(*(self._letter(message) for message in page))
            for letter in letters:
                after = letter.id
                if letter.workspace == workspace:
                    found.append(letter)
                if len(found) > limit:
                    return found[:limit], found[limit - 1].id
            if not page:
                return found, None

    async def redrive(self, workspace: str, letter_id: int) -> Submission:
        """Put the run back on the queue: it is attempted as often again as a new one, and its attempts go on counting.

        Raises:
            NotFound: There is no such dead letter in the workspace.
            Conflict: It is no message of ours; there is nothing to run.
        """
        page = await self._queue.dead(1, letter_id)
        message = page[0] if page and page[0].id == letter_id else None
        submission = self._parse(message) if message else None
        if isinstance(submission, InvalidInput) and workspace == "default":
            raise Conflict(f"It cannot be run: {submission.detail}", code="dead_letter_invalid")
        if message is None or not isinstance(submission, Submission) or submission.workspace != workspace:
            raise NotFound(f"There is no dead letter {letter_id}.", code="dead_letter_not_found")

        redriven = message.redriven + 1

        def decide(stored: Stored) -> Change | None:
            if (why := misuse(submission, stored)) is not None:
                raise Conflict(f"It cannot be run: {why}", code="dead_letter_invalid")
            if stored.session is None or stored.run is None or stored.run.state is not RunState.FAILED:
                return None
            now = self._clock()
            session = replace(stored.session.counting(pending=1), last_activity=now)
            event = Event("run.queued", {"run_id": stored.run.id, "redriven": redriven}, now)
            return Change(session, runs.requeued(stored.run, redriven), events=[event])

        stored = await self._conversations.update(workspace, submission.session_id, submission.run_id, decide)
        # The latest message of its run, whatever the dead one was sent by.
        latest = submission.model_copy(update={"call": stored.run.call}) if stored.run else submission
        await self._queue.redrive(letter_id, latest, redriven)
        return latest

    async def account(self) -> int:
        """Fail the runs of dead messages that no worker could fail, because each died; return how many."""
        after = count = 0
        while True:
            page = await self._queue.dead(_PAGE, after + 1)
            for message in page:
                after = message.id
                count += await self._lose(message)
            if not page:
                return count

    async def _lose(self, message: DeadMessage) -> bool:
        submission = self._parse(message)
        if isinstance(submission, InvalidInput):
            return False
        lost = False

        def decide(stored: Stored) -> Change | None:
            nonlocal lost
            lost = False
            run, now = stored.run, self._clock()
            if stored.session is None or run is None or run.finished or runs.busy_until(run, now):
                return None
            if misuse(submission, stored) is not None:
                return None
            if run.state is RunState.WAITING or run.dispatch.not_before is not None or submission.call < run.call:
                return None  # its session keeps it, or another message stands for it
            if run.redriven > message.redriven:
                return None  # it is back on the queue; only this copy is still to be removed
            lost = True
            error = InternalError("The worker died at every attempt.", code=WORKER_LOST)
            return outcome(stored.session, run, runs.lost(run, error, now, dead=True), (), (), now)

        ids = (submission.workspace, submission.session_id, submission.run_id)
        stored = await self._conversations.update(*ids, decide)
        if lost and stored.run is not None:
            await self._recorder.record(stored.run)
        return lost

    async def _letter(self, message: DeadMessage) -> DeadLetter:
        submission = self._parse(message)
        if isinstance(submission, InvalidInput):
            return DeadLetter(
                message.id,
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
        stored = await self._conversations.load(submission.workspace, submission.session_id, submission.run_id)
        misused = misuse(submission, stored)
        code, detail = ("invalid_message", misused) if misused is not None else _why(stored.run)
        return DeadLetter(
            message.id,
            submission.workspace,
            code,
            detail,
            redrivable=misused is None,
            run_id=submission.run_id,
            session_id=submission.session_id,
            agent=submission.agent,
            deliveries=message.deliveries,
            enqueued_at=message.enqueued_at,
        )

    def _parse(self, message: DeadMessage) -> Submission | InvalidInput:
        try:
            submission = parse_message(
                message.body,
                message_id=message.message_id,
                session_id=message.session_id,
                sequence_number=message.sequence_number,
                priority=message.priority,
                max_query_bytes=self._max_query_bytes,
            )
            self._provenance.check(message.origin, submission.workspace, message.body)
        except InvalidInput as error:
            return error
        return submission


def _why(run: Run | None) -> tuple[str, str]:
    if run is None:
        return "not_accepted", "It never became a run: its agent or session did not allow it."
    if run.error is None:
        return "not_needed", f"Its run is {run.state.value}."
    return run.error.code, run.error.detail
