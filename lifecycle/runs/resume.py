"""Resumes runs that a budget stopped: when the budget allows it again, or when an operator does."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from kernel.errors import AppError, Conflict, NotFound
from kernel.journal import Event
from lifecycle.conversations import run_transitions as runs
from lifecycle.conversations.run import APPROVAL_NEEDED, Run, RunState
from lifecycle.conversations.session import SessionState
from lifecycle.conversations.session_store import ConversationChange, ConversationStore, StoredConversation

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.conversations.run_request import Send
    from lifecycle.runs.run_queries import RunQueries
    from lifecycle.sessions.pause import SessionPause
    from llmops.budgets.waiting_run_index import BudgetWait, BudgetWaits

log = logging.getLogger(__name__)

_AT_ONCE = 8
"""Runs of different sessions that are resumed concurrently."""


class RunResume:
    """Resumes waiting runs with their sessions, which queue their waiting runs in order."""

    def __init__(
        self,
        waits: BudgetWaits,
        conversations: ConversationStore,
        run_queries: RunQueries,
        pause: SessionPause,
        clock: Clock,
    ) -> None:
        self._waits = waits
        self._conversations = conversations
        self._run_queries = run_queries
        self._pause = pause
        self._clock = clock
        self._wanted: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def resume(self, workspace: str, run_id: str, send: Send, by: str = "") -> Run:
        """Resume the run, also past its agent's degradation steps that ask for approval; return it.

        It is attempted again; if its budgets still do not allow it, it waits again. Does nothing for a run that is
        queued or running. One event of the approval is published, with the approver if known.

        Raises:
            NotFound: The run does not exist.
            Conflict: It is finished.
            Unavailable: The broker did not accept the message; a timer sends it, or a repeated call.
        """
        run = await self._run_queries.get(workspace, run_id)

        def decide(stored: StoredConversation) -> ConversationChange | None:
            session = stored.session
            if stored.run is None or session is None or session.state is SessionState.ERASED:
                raise NotFound(f"There is no run {run_id!r}.", code="run_not_found")
            if stored.run.finished:
                msg = f"The run is {stored.run.state.value}; only one that waits can be resumed."
                raise Conflict(msg, code="run_not_waiting")
            run = stored.run
            undecided = run.error is not None and run.error.code == APPROVAL_NEEDED  # resuming decides no approval
            if run.state is not RunState.WAITING or run.dispatch.approved or undecided:
                return None
            granted = Event("approval.granted", {"run_id": run_id} | ({"by": by} if by else {}), self._clock())
            return ConversationChange(session, runs.approved(run), events=[granted])

        await self._conversations.update(workspace, run.session_id, run_id, decide)
        await self._pause.resume(workspace, run.session_id, send)
        return await self._run_queries.get(workspace, run_id)

    async def resume_all(self, send: Send) -> int:
        """Resume every run whose budgets allow it again, in all workspaces, and return how many."""
        return sum([await self.resume_in(workspace, send) async for workspace in self._waits.workspaces()])

    async def resume_in(self, workspace: str, send: Send) -> int:
        """Resume every run of the workspace whose budgets allow it again, and return how many.

        A failure for one run does not affect others; it is tried again the next time.
        """
        count, under_way = 0, set[asyncio.Task[bool]]()
        async for wait, etag in self._waits.every(workspace):
            if len(under_way) == _AT_ONCE:
                done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                count += sum(task.result() for task in done)
            under_way.add(asyncio.create_task(self._tried(wait, etag, send)))
        return count + sum(await asyncio.gather(*under_way))

    async def begin(self, workspace: str, send: Send) -> int:
        """Start resuming the workspace's runs whose budgets allow it again, in the background; return how many wait.

        What this process does not complete is done by the timer, which checks the same runs.
        """
        waiting = await self._waits.count(workspace)
        if waiting:
            self._wanted.add(workspace)
            if workspace not in self._tasks:
                self._tasks[workspace] = asyncio.create_task(self._resuming(workspace, send))
        return waiting

    async def settled(self) -> None:
        """Return once background resuming has ended."""
        while self._tasks:
            await asyncio.gather(*self._tasks.values())

    async def _resuming(self, workspace: str, send: Send) -> None:
        try:
            while workspace in self._wanted:  # repeated if a budget changes meanwhile
                self._wanted.discard(workspace)
                await self.resume_in(workspace, send)
        except AppError as error:
            log.warning("runs not resumed: %s", error.code, extra={"event": "run.not_resumed"})
        finally:
            self._wanted.discard(workspace)
            del self._tasks[workspace]

    async def _tried(self, wait: BudgetWait, etag: str, send: Send) -> bool:
        try:
            return await self._resumed(wait, etag, send)
        except AppError as error:
            log.warning("run %s not resumed: %s", wait.who.run_id, error.code, extra={"event": "run.not_resumed"})
            return False

    async def _resumed(self, wait: BudgetWait, etag: str, send: Send) -> bool:
        """Resume the run if its budgets allow it, and return whether; its index entry is removed last."""
        who = wait.who
        stored = await self._conversations.load(who.workspace, who.session_id, who.run_id)
        run, waiting = stored.run, stored.session is not None and stored.session.state is SessionState.WAITING
        if run is None or run.finished:
            # It was cancelled or erased; the runs behind it are resumed.
            if waiting:
                await self._pause.resume(who.workspace, who.session_id, send)
            await self._waits.drop(wait, etag)
            return waiting
        if run.state is not RunState.WAITING or not waiting:
            return False  # about to wait, resumed already, or in a paused session
        if not await self._waits.over(wait):
            return False
        await self._pause.resume(who.workspace, who.session_id, send)
        await self._waits.drop(wait, etag)
        return True
