"""Deletes parts of sessions that are kept for a shorter time than the sessions: transcripts, runs, tool calls, scores.

Sessions are processed once, in the order of their starts, and the position is stored. A round processes those that have
become old enough since the last round, and again those that had to stay (not ended, ended too recently, held, or not
possible). Every step is idempotent.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.codec import if_readable
from kernel.errors import AppError
from kernel.ids import newest_first
from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.session import Session
from lifecycle.conversations.session_store import ConversationChange, ConversationStore, StoredConversation
from lifecycle.retention.policy import LegalHold, Part, Verdict, verdict
from lifecycle.retention.store import Progress, RetentionReceipt, RetentionStore

if TYPE_CHECKING:
    from lifecycle.conversations.run import Attempt, Run
    from lifecycle.conversations.run_and_session_indexes import Directory, Entry

log = logging.getLogger(__name__)

_PAGE = 50
_AT_ONCE = 8

ForgetConversations = Callable[[Session], Awaitable[None]]
"""Deletes a session's conversations at its providers."""


@dataclass(frozen=True, slots=True)
class PartRule:
    """A retention time, as one round applies it.

    Attributes:
        part: The part of sessions.
        keep_for: How long it is kept after a session's end.
        holds: The workspace's legal holds.
        now: When the round began, aware UTC.
    """

    part: Part
    keep_for: timedelta
    holds: Sequence[LegalHold]
    now: datetime

    def verdict(self, session: Session) -> Verdict:
        """Return the decision about the part of the session."""
        return verdict(session, self.keep_for, self.holds, self.now, self.part)


@dataclass(frozen=True, slots=True)
class _Done:
    """What was done about a part of a session: items deleted, whether a legal hold keeps it, and whether it failed."""

    deleted: int = 0
    held: bool = False
    failed: bool = False


class SessionParts:
    """Deletes parts of sessions."""

    def __init__(
        self,
        store: RetentionStore,
        conversations: ConversationStore,
        directory: Directory,
        forget_conversations: ForgetConversations,
    ) -> None:
        self._store = store
        self._conversations = conversations
        self._directory = directory
        self._forget_conversations = forget_conversations

    async def preview(self, workspace: str, rule: PartRule) -> AsyncIterator[Sequence[Verdict]]:
        """Yield the decisions that a round would make about sessions; changes nothing."""

        async def of(ids: Sequence[str]) -> Sequence[Verdict]:
            found = await asyncio.gather(
                *(if_readable(self._session(workspace, session_id), "session", session_id) for session_id in ids)
            )
            return [rule.verdict(session) for session in found if session is not None]

        yield await of(await self._store.passed_over(workspace, rule.part))
        async for entries, _ in self._unprocessed(workspace, await self._position(workspace, rule)):
            yield await of([entry.session_id for entry in entries])

    async def apply(
        self, workspace: str, rule: PartRule, receipt: RetentionReceipt, until: float
    ) -> AsyncIterator[RetentionReceipt]:
        """Delete the part where it is due, until that time of the event loop; yield the receipt so far.

        Raises:
            Unavailable: The storage cannot be reached; the next round continues.
        """
        waiting = list(await self._store.passed_over(workspace, rule.part))
        begun = await self._position(workspace, rule)
        async for entries, after in self._unprocessed(workspace, begun):
            receipt = await self._done(workspace, [entry.session_id for entry in entries], rule, receipt)
            yield receipt
            if after is not None:
                await self._store.note_progress(workspace, rule.part, replace(begun, at=after))
                if asyncio.get_running_loop().time() > until:
                    yield replace(receipt, complete=False)
                    return
        ended = [key for key in (begun.start, begun.until) if key is not None]
        await self._store.note_progress(workspace, rule.part, Progress(until=min(ended)))
        random.shuffle(waiting)  # where time is too short for all of them, it is not always for the same
        for first in range(0, len(waiting), _AT_ONCE):
            if asyncio.get_running_loop().time() > until:
                yield replace(receipt, complete=False)
                return
            receipt = await self._done(workspace, waiting[first : first + _AT_ONCE], rule, receipt)
            yield receipt

    async def _done(
        self, workspace: str, ids: Sequence[str], rule: PartRule, receipt: RetentionReceipt
    ) -> RetentionReceipt:
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            done = await asyncio.gather(*(self._delete_part(workspace, session_id, rule) for session_id in some))
            receipt = receipt.plus(rule.part, sum(each.deleted for each in done))
            complete = receipt.complete and not any(each.failed for each in done)
            receipt = replace(receipt, held=receipt.held + sum(each.held for each in done), complete=complete)
        return receipt

    async def _position(self, workspace: str, rule: PartRule) -> Progress:
        """Return the position where an unfinished round continues, or a new one begins."""
        progress = await self._store.progress(workspace, rule.part)
        if progress.start is not None:
            return progress
        start = newest_first(rule.now - rule.keep_for, "")
        return Progress(progress.until, start, start)

    async def _unprocessed(self, workspace: str, begun: Progress) -> AsyncIterator[tuple[Sequence[Entry], str | None]]:
        """Yield the sessions not processed yet, page by page, with the position after each page; None at the end."""
        after = begun.at
        while after is not None:
            entries, after = await self._directory.sessions(
                workspace, agent=None, user_id=None, limit=_PAGE, after=after
            )
            unseen = [entry for entry in entries if begun.until is None or entry.key <= begun.until]
            if len(unseen) < len(entries):
                after = None
            yield unseen, after

    async def _session(self, workspace: str, session_id: str) -> Session | None:
        return (await self._conversations.load(workspace, session_id)).session

    async def _delete_part(self, workspace: str, session_id: str, rule: PartRule) -> _Done:
        """Delete the part of the session if it is due."""
        try:
            session = await self._session(workspace, session_id)
            if session is None or session.receipt is not None:
                await self._store.take_up(workspace, rule.part, session_id)
                return _Done()
            found = rule.verdict(session)
            if not found.erase:
                await self._store.pass_over(workspace, rule.part, session_id)
                return _Done(held=found.held)
            count = await self._delete_from(session, rule.part)
        except AppError as error:
            log.warning("a session stays for now: %s", error.code, extra={"event": "retention.postponed"})
            await self._store.pass_over(workspace, rule.part, session_id)  # raises if it is the storage that fails
            return _Done(failed=True)
        await self._store.take_up(workspace, rule.part, session_id)
        return _Done(count)

    async def _delete_from(self, session: Session, part: Part) -> int:
        runs = [run async for run in self._conversations.runs(session.workspace, session.id, texts=False)]
        if part is Part.RUNS:
            for run in runs:
                if session.long_texts:  # while its row still names them
                    await self._conversations.erase_texts_of(run)
                await self._directory.forget_run(session.workspace, run.id)
            await self._conversations.clear(session.workspace, session.id, ("run!",))
            return len(runs)
        changed = sum([await self._update_run(run, part) for run in runs])
        if part is not Part.TRANSCRIPTS:
            return changed
        await self._forget_conversations(session)
        await self._conversations.clear(session.workspace, session.id, ("turn!", "event!"))
        if session.long_texts:
            await self._conversations.erase_texts(session.workspace, session.id)
        return 1

    async def _update_run(self, run: Run, part: Part) -> bool:
        if without(run, part) == run:
            return False

        def decide(stored: StoredConversation) -> ConversationChange | None:
            after = without(stored.run, part) if stored.run else None
            return None if after is None or after == stored.run else ConversationChange(run=after)

        await self._conversations.update(run.workspace, run.session_id, run.id, decide)
        return True


def without(run: Run, part: Part) -> Run:
    """Return the run without its texts, its tool calls, or its score."""
    match part:
        case Part.TRANSCRIPTS:
            given = replace(run.input, query="", context=None, expected_topics=())
            costs = replace(run.costs, progress=None)
            return replace(run, input=given, result=replace(run.result, answer=None), costs=costs)
        case Part.TOOL_CALLS:
            return replace(run, last=_without_tool_calls(run.last), lost=run.lost and _without_tool_calls(run.lost))
        case Part.EVALUATIONS:
            return replace(run, result=replace(run.result, score=None))
        case _:
            return run


def _without_tool_calls(attempt: Attempt) -> Attempt:
    return replace(attempt, effort=replace(attempt.effort, tools=()))
