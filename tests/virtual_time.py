"""An event loop whose clock moves only when everything waits: minutes pass in milliseconds, in the same order."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
START = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


class _Selector(selectors.DefaultSelector):  # pyright: ignore[reportGeneralTypeIssues, reportUntypedBaseClass] - chosen by platform
    """Waits for nothing but threads, and moves the loop's time instead."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0
        self.threads: set[asyncio.Future[Any]] = set()

    def select(self, timeout: float | None = None) -> Any:
        if self.threads and timeout != 0:
            return super().select()  # until one ends
        found = super().select(0)
        if not found and timeout:
            self.passed += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop in virtual time."""

    def __init__(self) -> None:
        self._waits = _Selector()
        super().__init__(self._waits)

    def time(self) -> float:
        """Return how many virtual seconds have passed."""
        return self._waits.passed

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        """Run it in a thread; no virtual time passes meanwhile."""
        future = super().run_in_executor(executor, func, *args)
        self._waits.threads.add(future)
        future.add_done_callback(self._waits.threads.discard)
        return future

    def now(self) -> datetime:
        """Return the virtual time."""
        return START + timedelta(seconds=self.time())


def run_virtually(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run `main` to its end in virtual time and return what it returns."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main(loop))
    finally:
        loop.close()


def virtually(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Run a test in virtual time, so that nothing that happens after a pause comes earlier on a slow machine."""

    @functools.wraps(test)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_virtually(lambda _: test(*args, **kwargs))

    return wrapped
