"""Background tasks of a loader, and closing agents that are no longer referenced."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

A = TypeVar("A")


class Background(Generic[A]):
    """Background tasks, and closing of agents that are no longer referenced."""

    def __init__(self, close: Callable[[A], Awaitable[None]]) -> None:
        self._close = close
        self._tasks: set[asyncio.Task[object]] = set()
        self._closings: set[asyncio.Task[object]] = set()
        self._timer: asyncio.Task[None] | None = None

    def watch(self, holder: object, agent: A) -> None:
        """Close the agent once the holder is garbage-collected."""
        loop = asyncio.get_running_loop()
        weakref.finalize(holder, self._released, loop, agent).atexit = False

    def start(self, work: Awaitable[object]) -> None:
        """Run the work as a background task."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # pyright: ignore[reportArgumentType] - a coroutine's future is a task
        task.add_done_callback(self._tasks.discard)

    def every(self, interval_s: float, work: Callable[[], Awaitable[object]]) -> None:
        """Run the work periodically from the first call on."""
        if self._timer is None:
            self._timer = asyncio.create_task(self._repeat(interval_s, work))

    async def stop(self) -> None:
        """Cancel the background tasks."""
        tasks = [*self._tasks, *([self._timer] if self._timer else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def closed(self) -> None:
        """Wait until all unreferenced agents are closed."""
        await asyncio.sleep(0)  # lets closings of just released agents start
        while self._closings:
            done, _ = await asyncio.wait(self._closings)
            self._closings -= done  # now, as their callbacks have not run yet

    async def _repeat(self, interval_s: float, work: Callable[[], Awaitable[object]]) -> None:
        while True:
            await asyncio.sleep(interval_s)
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - agents are opened by code that is not ours
                log.warning("optimising failed: %s", type(error).__name__, extra={"event": "loader.optimise_failed"})

    def _released(self, loop: asyncio.AbstractEventLoop, agent: A) -> None:
        # A finalizer may be called in any thread, and at any point of the loop's.
        if loop.is_closed():
            log.warning(
                "an agent was not closed, as its event loop has ended", extra={"event": "loader.agent_not_closed"}
            )
            return
        loop.call_soon_threadsafe(self._close_soon, agent)

    def _close_soon(self, agent: A) -> None:
        task = asyncio.ensure_future(self._closing(agent))
        self._closings.add(task)  # pyright: ignore[reportArgumentType] - a coroutine's future is a task
        task.add_done_callback(self._closings.discard)

    async def _closing(self, agent: A) -> None:
        try:
            await self._close(agent)
        except Exception as error:  # noqa: BLE001 - agents are closed by code that is not ours
            log.warning("closing an agent failed: %s", type(error).__name__, extra={"event": "loader.close_failed"})
