"""Waking those who wait for a run in the process that finishes it, so that they need not keep asking the table."""

from __future__ import annotations

import asyncio


class CompletionWaiters:
    """Wakes who waits for a run. Who waits elsewhere is not told; so a wait is always bounded."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def finished(self, run_id: str) -> None:
        """Wake everyone in this process who waits for the run."""
        for event in self._waiting.get(run_id, ()):
            event.set()

    async def wait(self, run_id: str, seconds: float) -> None:
        """Return when the run is noticed to have finished, or after the seconds."""
        event = asyncio.Event()
        self._waiting.setdefault(run_id, set()).add(event)
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return
        finally:
            self._waiting[run_id].discard(event)
            if not self._waiting[run_id]:
                del self._waiting[run_id]
