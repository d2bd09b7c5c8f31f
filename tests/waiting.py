"""Waiting in tests: as long as there is progress, so that a slow machine fails nothing that a fast one passes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

QUIET_S = 120.0
"""Seconds without any progress after which a test gives up; far more than anything takes on a busy machine."""
_POLL_S = 0.02
_LONGEST_POLL_S = 0.2


class Patience:
    """Ends a wait when nothing has changed for `QUIET_S` seconds: a deadline that every bit of progress moves."""

    def __init__(self, what: str = "it", quiet_s: float = QUIET_S) -> None:
        self._what = what
        self._quiet_s = quiet_s
        self._seen: object = None
        self._polls = 0
        self._since = time.monotonic()

    def look(self, seen: object) -> float:
        """Take in what was seen and return how many seconds to pause before the next look.

        Raises:
            AssertionError: The same has been seen for too long.
        """
        now = time.monotonic()
        if seen != self._seen:
            self._seen, self._since = seen, now
        elif now - self._since > self._quiet_s:
            raise AssertionError(f"{self._what}: still {seen!r} after {self._quiet_s:.0f} s")
        self._polls += 1
        return min(_POLL_S * (1 + self._polls / 4), _LONGEST_POLL_S)


async def eventually(
    probe: Callable[[], T | Awaitable[T]], *, progress: Callable[[], object] | None = None, what: str = "it"
) -> T:
    """Ask until the answer is something true, and return it.

    Args:
        probe: Looks once.
        progress: Returns something that changes as long as there is progress; unless given, the probe's answer is it.
        what: What is waited for, for the error.

    Raises:
        AssertionError: Nothing has changed for `QUIET_S` seconds.
    """
    patience = Patience(what)
    while True:
        answer = probe()
        if isinstance(answer, Awaitable):
            answer = await answer
        if answer:
            return answer  # pyright: ignore[reportReturnType] - awaited above
        await asyncio.sleep(patience.look(progress() if progress else answer))


def eventually_now(probe: Callable[[], T], *, what: str = "it") -> T:
    """Do what `eventually` does, for tests without a loop."""
    patience = Patience(what)
    while not (answer := probe()):
        time.sleep(patience.look(answer))
    return answer
