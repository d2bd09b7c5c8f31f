"""Reads and cancels runs by id, waits for their end, and lists them by agent, session, user and state.

A caller in the process that carries the run out is woken when it ends, so that it need not poll the table. A page of a
list has a bounded cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.codec import if_readable
from kernel.errors import NotFound
from kernel.journal import Event
from kernel.lazy_dataclass import dataclass
from lifecycle.conversations import run_transitions as runs
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.session import SessionState
from lifecycle.conversations.session_store import ConversationChange, ConversationStore, StoredConversation
from lifecycle.conversations.session_updates import outcome

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.conversations.run_and_session_indexes import Directory


class CompletionWaiters:
    """Wakes callers that wait for a run. Waits in other processes are not woken, so waits have a time limit."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], set[asyncio.Future[Run | None]]] = {}

    def committed(self, run: Run) -> None:
        """Give a run that was just committed, and has ended or waits, to all callers here that wait for it."""
        if run.finished or run.state is RunState.WAITING:
            self._wake(run, run)

    def finished(self, run: Run) -> None:
        """Wake all callers here that wait for the run, to read it themselves; its long texts may be cut."""
        self._wake(run, None)

    async def wait(self, run: Run, seconds: float) -> Run | None:
        """Return the run given by `committed`; None if it has to be read, and after `seconds`."""
        key, woken = (run.workspace, run.id), asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, set()).add(woken)
        try:
            async with asyncio.timeout(seconds):
                return await woken
        except TimeoutError:
            return None
        finally:
            self._waiting[key].discard(woken)
            if not self._waiting[key]:
                del self._waiting[key]

    def _wake(self, run: Run, handed: Run | None) -> None:
        for woken in self._waiting.get((run.workspace, run.id), ()):
            if not woken.done():
                woken.set_result(handed)


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


MOST_LOOKED_AT = 200
"""Most runs read for one page when filtering by state, which no index has."""
MOST_COUNTED = 1000
"""Most runs counted for a total."""


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list; None for any. Accepted at `first` or later and before `before`, aware UTC."""

    state: RunState | None = None
    agent: str | None = None
    user_id: str | None = None
    first: datetime | None = None
    before: datetime | None = None

    def takes(self, run: Run) -> bool:
        """Return whether a run matches."""
        return (
            self.state in (None, run.state)
            and self.agent in (None, run.agent)
            and self.user_id in (None, run.user_id)
            and (self.first is None or run.created_at >= self.first)
            and (self.before is None or run.created_at < self.before)
        )


class RunList:
    """Lists runs, with only the beginnings of long texts."""

    def __init__(self, conversations: ConversationStore, directory: Directory) -> None:
        self._conversations = conversations
        self._directory = directory

    async def page(
        self, workspace: str, wanted: RunFilter, limit: int, after: str | None
    ) -> tuple[Sequence[Run], str | None]:
        """Return up to `limit` runs, newest first, and the token to continue after; None at the end.

        Unfinished runs of a page come first. A page can be short or empty before the end, as at most MOST_LOOKED_AT
        runs are read for it.
        """
        found: list[Run] = []
        looked_at = 0
        while True:
            entries, following = await self._directory.runs(
                workspace,
                agent=wanted.agent,
                user_id=wanted.user_id,
                first=wanted.first,
                before=wanted.before,
                limit=limit,
                after=after,
            )
            loaded = await asyncio.gather(
                *(
                    if_readable(
                        self._conversations.run(workspace, entry.session_id, entry.run_id, texts=False),
                        "run",
                        f"{entry.session_id}/{entry.run_id}",
                    )
                    for entry in entries
                )
            )
            for entry, run in zip(entries, loaded, strict=True):
                if run is None or wanted.state not in (None, run.state):
                    continue
                found.append(run)
                if len(found) == limit:
                    last = entry is entries[-1] and following is None
                    return in_flight_first(found), None if last else entry.key
            after = following
            looked_at += len(entries)
            if after is None or wanted.state is None or looked_at >= MOST_LOOKED_AT:
                return in_flight_first(found), after

    async def of_session(
        self, workspace: str, session_id: str, wanted: RunFilter, limit: int, after: int | None
    ) -> tuple[Sequence[Run], int | None]:
        """Return up to `limit` of the session's runs, newest first, and the number to continue below; None at the end.

        It reads all runs of the session.
        """
        found = [
            run
            async for run in self._conversations.runs(workspace, session_id, texts=False)
            if (after is None or run.number < after) and wanted.takes(run)
        ]
        found.sort(key=lambda run: -run.number)
        shown = found[:limit]
        return in_flight_first(shown), shown[-1].number if len(found) > limit else None

    async def count(self, workspace: str, wanted: RunFilter, session_id: str | None = None) -> int:
        """Return how many runs match, at most MOST_COUNTED; of a state, only those among the latest MOST_LOOKED_AT.

        Args:
            workspace: The workspace.
            wanted: Which runs to count.
            session_id: The session to count in, all of whose runs are read; None for all sessions.
        """
        if session_id is not None:
            found, _ = await self.of_session(workspace, session_id, wanted, MOST_COUNTED, None)
        elif wanted.state is not None:
            found, _ = await self.page(workspace, wanted, MOST_LOOKED_AT, None)
        else:
            found, more = await self._directory.runs(
                workspace,
                agent=wanted.agent,
                user_id=wanted.user_id,
                first=wanted.first,
                before=wanted.before,
                limit=MOST_COUNTED - 1,
                after=None,
            )
            return len(found) + (more is not None)
        return len(found)


def in_flight_first(runs: Sequence[Run]) -> Sequence[Run]:
    """Return the runs with unfinished ones first, otherwise in their order."""
    return sorted(runs, key=lambda run: run.finished)
