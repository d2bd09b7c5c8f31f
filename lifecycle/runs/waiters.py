"""Wakes callers in this process that wait for a run, so that they need not poll the table."""

from __future__ import annotations

import asyncio

from lifecycle.conversations.run import Run, RunState


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
