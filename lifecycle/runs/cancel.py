"""Cancels runs; if a run was waiting for a decision or a budget, its session is resumed in the same call."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kernel.errors import AppError
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.session import APPROVAL, BUDGET, SessionState

if TYPE_CHECKING:
    from lifecycle.approvals.decisions import ApprovalDecisions
    from lifecycle.conversations.run_request import Send
    from lifecycle.conversations.session_store import ConversationStore
    from lifecycle.runs.run_queries import RunQueries
    from lifecycle.sessions.pause import SessionPause

log = logging.getLogger(__name__)


class RunCancel:
    """Cancels runs."""

    def __init__(
        self,
        run_queries: RunQueries,
        decisions: ApprovalDecisions,
        conversations: ConversationStore,
        pause: SessionPause,
    ) -> None:
        self._run_queries = run_queries
        self._decisions = decisions
        self._conversations = conversations
        self._pause = pause

    async def cancel(self, workspace: str, run_id: str, send: Send) -> Run:
        """Cancel the run as `RunQueries.cancel` does, and return it; resume its session if that waited for it.

        The run's approvals and budget waits are withdrawn. If that fails or is interrupted, the timers of approvals and
        budgets do it.

        Raises:
            NotFound: The run does not exist.
        """
        before = await self._run_queries.get(workspace, run_id)
        run = await self._run_queries.cancel(workspace, run_id)
        blocked = before.state is RunState.WAITING and before.error is not None  # not merely waiting behind another run
        if blocked and run.finished:
            try:
                await self._resume_session(run, send)
            except AppError as error:
                log.warning("session not resumed: %s", error.code, extra={"event": "session.resume_unfinished"})
        return run

    async def _resume_session(self, run: Run, send: Send) -> None:
        await self._decisions.settle(run.workspace, run.id, send)
        session = (await self._conversations.load(run.workspace, run.session_id)).session
        if session is not None and session.state is SessionState.WAITING and session.pause_reason in (APPROVAL, BUDGET):
            await self._pause.resume(run.workspace, run.session_id, send)
