"""Noting when a timer has done its work, and when it could not."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

import azure.functions as func

from bootstrap.services import Services
from kernel.errors import AppError

log = logging.getLogger(__name__)

Timer = Callable[..., Coroutine[Any, Any, None]]

_FIRST_YEAR = 1971  # a timer that never ran has the year 1


def noting(services: Services, name: str) -> Callable[[Timer], Timer]:
    """Return a decorator for the timer function of that name, whose ends are to be seen in `GET status`.

    It also has what the timer committed published before the function counts as done.
    """

    def noted(function: Timer) -> Timer:
        @functools.wraps(function)
        async def timed(**given: Any) -> None:
            try:
                await function(**given)
                await services.conversations.publisher.flush()
            except Exception as error:
                await _failed(services, name, error)
                raise
            await _noted(services, name, given.get("timer"))
            services.agents.preloader.wake()

        return timed

    return noted


async def _failed(services: Services, name: str, error: Exception) -> None:
    failure = error.code if isinstance(error, AppError) else type(error).__name__
    try:
        await services.events.timer_statuses.failed(name, services.core.clock(), failure)
    except AppError as unavailable:
        log.warning("%s: %s", name, unavailable.code, extra={"event": "timer.not_noted"})


async def _noted(services: Services, name: str, timer: func.TimerRequest | None) -> None:
    now = services.core.clock()
    try:
        await services.events.timer_statuses.succeeded(name, now, every_of(timer, now))
    except AppError as unavailable:
        log.warning("%s: %s", name, unavailable.code, extra={"event": "timer.not_noted"})


def every_of(timer: func.TimerRequest | None, now: datetime) -> timedelta | None:
    """Return how often the host runs the timer; None where it does not say, as for schedules under a minute."""
    status = getattr(timer, "schedule_status", None) or {}
    try:
        last, following = (datetime.fromisoformat(str(status[name])) for name in ("Last", "Next"))
    except (KeyError, ValueError):
        return None
    if last.tzinfo is None or following.tzinfo is None:
        return None
    # While a timer runs, the Functions host still says `Next` of this very run; others say when the next one is.
    since = now if following > now else last
    return following - since if since.year >= _FIRST_YEAR and following > since else None
