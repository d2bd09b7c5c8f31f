"""What an app costs that nobody uses: executions of timers, and their table requests, counted for an hour."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from devhost.ncrontab import Schedule
from kernel.settings import Settings
from llmops.budgets.rules import Budget, Limit, parse_scope
from tests.lifecycle.app import App
from tests.lifecycle.doubles import CountingTables
from triggers.timers import TIMERS, Round

ROOT = Path(__file__).parents[2]
STATUS_WRITTEN = 1
"""Requests of a timer's execution besides its own: the row that says when it last succeeded."""


def _round(app: App) -> Round:
    queue: Any = app.queue
    return Round(app.services, queue, app.signals)


def an_hour(schedule: str) -> int:
    """Return how often a timer runs in an hour."""
    at, end = datetime(2026, 11, 30, 12, tzinfo=UTC), datetime(2026, 11, 30, 13, tzinfo=UTC)
    count, at = 0, at - timedelta(seconds=1)
    while (at := Schedule.parse(schedule).next_after(at)) < end:
        count += 1
    return count


async def idle_hour(app: App, tables: CountingTables) -> dict[str, int]:
    """Return the table requests of an hour in which nothing happens, by timer."""
    schedules = Settings().by_alias()
    found: dict[str, int] = {}
    for timer in TIMERS:
        now = _round(app)
        for _ in range(2):  # what is left of earlier, and then nothing
            tables.reset()
            app.clock.move(minutes=5)
            await timer.run(now)
            await app.services.conversations.publisher.flush()
        found[timer.name] = an_hour(schedules[timer.schedule]) * (sum(tables.operations.values()) + STATUS_WRITTEN)
    return found


def total(by_timer: dict[str, int]) -> int:
    return sum(by_timer.values())


async def used() -> tuple[App, CountingTables]:
    """Return an app that was used, and has been left alone for some days."""
    tables = CountingTables()
    app = App(tables)
    await app.declare()
    budget = Budget(parse_scope("agent:bot"), (Limit("usd", "month", 10_000_000),))
    await app.services.budgets.store.put("default", budget, None)
    for number in range(20):
        await app.ask(session_id=f"s{number}", user_id="ada")
    await app.services.conversations.publisher.flush()
    for _ in range(4):
        app.clock.move(days=1)
        for timer in TIMERS:
            await timer.run(_round(app))
    return app, tables


async def test_an_idle_hour_takes_as_many_requests_as_the_page_on_costs_says() -> None:
    """Of an app that nobody has used, and of one that was used and is not any more: within a tenth."""
    tables = CountingTables()
    fresh = App(tables)
    never = await idle_hour(fresh, tables)
    app, tables = await used()
    later = await idle_hour(app, tables)
    await fresh.aclose()
    await app.aclose()

    text = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    stated = [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) table requests an hour", text)]
    assert [
        abs(number - said) < said / 10 for number, said in zip(map(total, (never, later)), stated, strict=True)
    ] == [
        True,
        True,
    ], json.dumps([never, later])


def test_timers_run_as_often_as_the_page_on_costs_says() -> None:
    """All of them together, in an hour."""
    schedules = Settings().by_alias()
    executions = sum(an_hour(schedules[timer.schedule]) for timer in TIMERS)
    [stated] = re.findall(r"(\d+) executions an hour", (ROOT / "docs/deploy.md").read_text(encoding="utf-8"))

    assert abs(executions - int(stated)) < int(stated) / 10, executions
