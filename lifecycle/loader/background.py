"""What a loader does in the background: tasks of its own, and closing agents that nobody holds any more."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

A = TypeVar("A")


class Background(Generic[A]):
    """Tasks in the background, and the closing of agents that nobody holds any more."""

    def __init__(self, close: Callable[[A], Awaitable[None]]) -> None:
        self._close = close
        self._tasks: set[asyncio.Task[object]] = set()
        self._closings: set[asyncio.Task[object]] = set()
        self._timer: asyncio.Task[None] | None = None

    def watch(self, holder: object, agent: A) -> None:
        """Have the agent closed once nobody holds the holder."""
        loop = asyncio.get_running_loop()
        weakref.finalize(holder, self._released, loop, agent).atexit = False

    def start(self, work: Awaitable[object]) -> None:
        """Have the work done in the background."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # pyright: ignore[reportArgumentType] - a coroutine's future is a task
        task.add_done_callback(self._tasks.discard)

    def every(self, interval_s: float, work: Callable[[], Awaitable[object]]) -> None:
        """Have the work done every so often, from the first call on."""
        if self._timer is None:
            self._timer = asyncio.create_task(self._repeat(interval_s, work))

    async def stop(self) -> None:
        """Stop what runs in the background."""
        tasks = [*self._tasks, *([self._timer] if self._timer else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def closed(self) -> None:
        """Wait until the agents that nobody holds are closed."""
        await asyncio.sleep(0)  # those released a moment ago are being closed from now on
        while self._closings:
            done, _ = await asyncio.wait(self._closings)
            self._closings -= done  # at once: their callbacks have not run yet

    async def _repeat(self, interval_s: float, work: Callable[[], Awaitable[object]]) -> None:
        while True:
            await asyncio.sleep(interval_s)
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - agents are opened by code that is not ours
                log.warning("optimising failed: %s", type(error).__name__, extra={"event": "loader.optimise_failed"})

    def _released(self, loop: asyncio.AbstractEventLoop, agent: A) -> None:
        # A finaliser may be called in any thread, and anywhere in the loop's.
        if loop.is_closed():
            log.warning(
                "an agent outlived its event loop and is not closed", extra={"event": "loader.agent_not_closed"}
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
