"""Waking those who wait for a run in the process that finishes it, so that they need not keep asking the table."""

from __future__ import annotations

import asyncio

from lifecycle.conversations.run import Run, RunState


class CompletionWaiters:
    """Wakes who waits for a run. Who waits elsewhere is not told; so a wait is always bounded."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], set[asyncio.Future[Run | None]]] = {}

    def committed(self, run: Run) -> None:
        """Hand a run that was just committed, and that has ended or waits, to everyone here who waits for it."""
        if run.finished or run.state is RunState.WAITING:
            self._wake(run, run)

    def finished(self, run: Run) -> None:
        """Wake everyone in this process who waits for the run, to look at it; long texts of it may be cut."""
        self._wake(run, None)

    async def wait(self, run: Run, seconds: float) -> Run | None:
        """Return the run that was handed over; None where it is to be looked at, and after the seconds."""
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
