"""Timers of a running host, and their rules."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import azure.functions as func

from devhost.index import Function, RetryPolicy, index_functions
from devhost.invoke import Invoker
from devhost.ncrontab import Schedule
from devhost.timer_trigger import Status, StatusFile, TimerTrigger, is_past_due, retry_delay
from tests.waiting import QUIET_S

NOW = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
HOURLY = Schedule.parse("0 0 * * * *")


def _function(call: Callable[..., Any], **options: Any) -> Function:
    app = func.FunctionApp()
    app.timer_trigger(arg_name="timer", schedule="* * * * * *", **options)(call)
    (function,) = index_functions(app.get_functions())
    return function


def test_a_timer_fires_on_its_schedule(launch: Callable[..., Any], eventually: Callable[..., Any]) -> None:
    """Every second means every second, and a schedule that frequent has no status."""
    app = launch(TICK_SCHEDULE="* * * * * *")

    ticks = eventually(lambda: len(app.notes(event="tick")) >= 2 and app.notes(event="tick"))

    assert {(False, None)} <= {(tick["past_due"], tick["status"] or None) for tick in ticks}


def test_a_missed_occurrence_is_made_up_for_once(launch: Callable[..., Any], eventually: Callable[..., Any]) -> None:
    """A host that was down over an occurrence runs the timer once at its start, told that it is late."""
    earlier = launch(TICK_SCHEDULE="0 0 * * * *")
    earlier.host.stop()
    statuses = StatusFile(earlier.state / "timers.json")
    hour_ago = datetime.now(UTC) - timedelta(hours=1, minutes=1)
    statuses.write("tick", Status(None, HOURLY.next_after(hour_ago), hour_ago))

    app = launch(TICK_SCHEDULE="0 0 * * * *")

    (tick,) = eventually(lambda: app.notes(event="tick"))
    assert tick["past_due"]


def test_past_due_rules() -> None:
    """Past due is an occurrence that lay between the last update and now; a changed schedule missed nothing."""
    updated = NOW - timedelta(hours=2)
    missed = Status(None, HOURLY.next_after(updated), updated)
    ahead = Status(None, HOURLY.next_after(NOW), NOW)
    other = Status(None, updated + timedelta(minutes=7), updated)

    assert is_past_due(HOURLY, missed, NOW)
    assert not is_past_due(HOURLY, ahead, NOW)
    assert not is_past_due(HOURLY, other, NOW)
    assert not is_past_due(HOURLY, None, NOW)


def test_retry_delays() -> None:
    """A fixed delay stays, an exponential one doubles between its bounds."""
    fixed = RetryPolicy(strategy="fixed_delay", max_retry_count=3, settings={"delay_interval": "00:00:05"})
    bounds = {"minimum_interval": "00:00:02", "maximum_interval": "00:00:10"}
    growing = RetryPolicy(strategy="exponential_backoff", max_retry_count=-1, settings=bounds)

    assert [retry_delay(fixed, attempt).total_seconds() for attempt in (1, 2)] == [5, 5]
    assert [retry_delay(growing, attempt).total_seconds() for attempt in (1, 2, 3, 4, 99)] == [2, 4, 8, 10, 10]


async def test_runs_never_overlap_and_failures_do_not_end_them(tmp_path: Path) -> None:
    """A run that outlasts its interval delays the next; one that fails is followed by another."""
    running, most, runs = 0, 0, 0

    async def tick(timer: func.TimerRequest) -> None:
        nonlocal running, most, runs
        running, runs = running + 1, runs + 1
        most = max(most, running)
        await asyncio.sleep(0.03)
        running -= 1
        raise RuntimeError("always")

    invoker = Invoker(timeout_s=None)
    timer = TimerTrigger(
        _function(tick),
        Schedule.parse("00:00:00.01"),
        StatusFile(tmp_path / "t.json"),
        invoker,
        lambda: datetime.now(UTC),
    )
    task = asyncio.create_task(timer.run())
    async with asyncio.timeout(QUIET_S):
        await asyncio.gather(*(timer.run_now() for _ in range(3)))
        while runs < 6:  # noqa: ASYNC110 - a count, not an event
            await asyncio.sleep(0.01)
        timer.quiesce()
        await task

    assert most == 1
    invoker.close()


async def test_run_on_startup(tmp_path: Path) -> None:
    """A function with runOnStartup runs once before the first occurrence."""
    seen: list[bool] = []
    ran = asyncio.Event()

    async def tick(timer: func.TimerRequest) -> None:
        seen.append(timer.past_due)
        ran.set()

    invoker = Invoker(timeout_s=None)
    function = _function(tick, run_on_startup=True)
    timer = TimerTrigger(function, HOURLY, StatusFile(tmp_path / "t.json"), invoker, lambda: datetime.now(UTC))
    task = asyncio.create_task(timer.run())
    async with asyncio.timeout(QUIET_S):
        await ran.wait()
        timer.quiesce()
        await task

    assert seen == [False]
    assert StatusFile(tmp_path / "t.json").read("tick") is not None
    invoker.close()
