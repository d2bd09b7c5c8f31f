"""Reads and cancels runs by id."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from kernel.clock import Clock
from kernel.errors import NotFound
from kernel.journal import Event
from lifecycle.conversations import run_rules as runs
from lifecycle.conversations.directory import Directory
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.session import SessionState
from lifecycle.conversations.store import ConversationChange, ConversationStore, StoredConversation
from lifecycle.conversations.transitions import outcome
from lifecycle.runs.waiters import CompletionWaiters

_FIRST_LOOK_S = 0.2
_LONGEST_LOOK_S = 1.0


class RunQueries:
    """Reads and cancels runs by id."""

    def __init__(
        self, conversations: ConversationStore, directory: Directory, waiters: CompletionWaiters, clock: Clock
    ) -> None:
        self._conversations = conversations
        self._directory = directory
        self._waiters = waiters
        self._clock = clock

    async def get(self, workspace: str, run_id: str) -> Run:
        """Return the run.

        Raises:
            NotFound: The run does not exist.
        """
        place = await self._directory.find_run(workspace, run_id)
        run = await self._conversations.run(workspace, place.session_id, run_id) if place else None
        if run is None:
            raise _no_run(run_id)
        return run

    async def finished(self, run: Run, within_s: float) -> Run:
        """Return the run once it has finished or waits for a decision or budget; after `within_s` seconds, as it is."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        pause = _FIRST_LOOK_S
        while not run.finished and run.state is not RunState.WAITING and (remaining_s := deadline - loop.time()) > 0:
            handed = await self._waiters.wait(run, min(pause, remaining_s))
            pause = min(pause * 1.5, _LONGEST_LOOK_S)
            run = handed or await self._conversations.run(run.workspace, run.session_id, run.id) or run
        return run

    async def cancel(self, workspace: str, run_id: str) -> Run:
        """Cancel the run and return it: at once while it is queued or waits, soon when it is running.

        Once the request is accepted, the run ends as cancelled, whatever its model call returns. A finished run is
        unchanged.

        Raises:
            NotFound: The run does not exist.
        """
        place = await self._directory.find_run(workspace, run_id)
        if place is None:
            raise _no_run(run_id)

        def decide(stored: StoredConversation) -> ConversationChange | None:
            if stored.run is None or stored.session is None or stored.session.state is SessionState.ERASED:
                raise _no_run(run_id)
            now = self._clock()
            if stored.run.finished or stored.run.cancel_requested:
                return None
            if stored.run.state in (RunState.QUEUED, RunState.WAITING):
                return outcome(stored.session, stored.run, runs.cancelled(stored.run, now), (), (), now)
            event = Event("run.cancel_requested", {"run_id": run_id}, now)
            return ConversationChange(stored.session, replace(stored.run, cancel_requested=True), events=[event])

        stored = await self._conversations.update(workspace, place.session_id, run_id, decide)
        if stored.run is None:
            raise _no_run(run_id)
        return stored.run


def _no_run(run_id: str) -> NotFound:
    return NotFound(f"There is no run {run_id!r}.", code="run_not_found")
