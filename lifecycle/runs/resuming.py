"""Letting runs go on that a budget has stopped: when there is room again, or when an operator says so."""

from __future__ import annotations

from dataclasses import replace

from kernel.clock import Clock
from kernel.errors import Conflict, NotFound
from lifecycle.runs.desk import RunDesk
from lifecycle.runs.intake import Send
from lifecycle.runs.rules import Run, RunState
from lifecycle.sessions.conversations import Change, Conversations, Stored
from lifecycle.sessions.pausing import SessionPause
from lifecycle.sessions.rules import SessionState
from llmops.budgets.waits import Waits


class RunResume:
    """Resumes waiting runs: each goes on with its session, which queues what it kept in order."""

    def __init__(
        self, waits: Waits, conversations: Conversations, desk: RunDesk, pause: SessionPause, clock: Clock
    ) -> None:
        self._waits = waits
        self._conversations = conversations
        self._desk = desk
        self._pause = pause
        self._clock = clock

    async def resume(self, workspace: str, run_id: str, send: Send) -> Run:
        """Let the run go on, and past the steps of its agent's ladder that ask for approval; return it.

        It is attempted again; where there is still no room in its budgets, it waits again. A run that is queued or
        running already stays as it is.

        Raises:
            NotFound: There is no such run.
            Conflict: It is finished.
            Unavailable: The broker did not accept the message; the timer sends it, or the same call.
        """
        run = await self._desk.get(workspace, run_id)

        def decide(stored: Stored) -> Change | None:
            if stored.run is None:
                raise NotFound(f"There is no run {run_id!r}.", code="run_not_found")
            if stored.run.finished:
                msg = f"The run is {stored.run.state.value}; only one that waits can be resumed."
                raise Conflict(msg, code="run_not_waiting")
            if stored.run.state is not RunState.WAITING or stored.run.approved:
                return None
            return Change(run=replace(stored.run, approved=True))

        await self._conversations.update(workspace, run.session_id, run_id, decide)
        await self._pause.resume(workspace, run.session_id, send)
        return await self._desk.get(workspace, run_id)

    async def resume_all(self, send: Send) -> int:
        """Resume every run whose budgets have room again, in all workspaces, and return how many."""
        return sum([await self.resume_in(workspace, send) async for workspace in self._waits.workspaces()])

    async def resume_in(self, workspace: str, send: Send) -> int:
        """Resume every run of the workspace whose budgets have room again, and return how many."""
        count = 0
        async for wait, etag in self._waits.every(workspace):
            stored = await self._conversations.load(workspace, wait.who.session_id, wait.who.run_id)
            if stored.run is None or stored.session is None or stored.run.finished:
                await self._waits.drop(wait, etag)
                if stored.session is None or stored.session.state is not SessionState.WAITING:
                    continue
            elif stored.run.state is not RunState.WAITING or stored.session.state is not SessionState.WAITING:
                continue  # it is about to wait, goes on already, or its session was paused as well
            elif not await self._waits.over(wait):
                continue
            # Also after a run that was cancelled: what was kept behind it goes on.
            await self._pause.resume(workspace, wait.who.session_id, send)
            await self._waits.drop(wait, etag)
            count += 1
        return count
