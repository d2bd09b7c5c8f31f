"""What an app costs that nobody uses: executions of timers, and their table requests, counted for an hour."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from devhost.ncrontab import Schedule
from kernel.settings import Settings
from lifecycle.schedules.schedule_rules import covering, is_due
from llmops.budgets.budget_rules import Budget, Limit, parse_scope
from tests.lifecycle.app import App
from tests.lifecycle.doubles import CountingTables
from triggers.timers import TIMERS, Round, run, run_due

ROOT = Path(__file__).parents[2]
TOGETHER = [timer for timer in TIMERS if not timer.alone]


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


def executions() -> int:
    """Return how often a function is run in an hour in which nothing happens."""
    schedules = Settings().by_alias()
    together = covering({timer.schedule: schedules[timer.schedule] for timer in TOGETHER})
    return an_hour(together) + sum(an_hour(schedules[timer.schedule]) for timer in TIMERS if timer.alone)


async def idle_hour(app: App, tables: CountingTables) -> int:
    """Return the table requests of an hour in which nothing happens: four times those of a quarter of it.

    Minute by minute, as the host runs the timers.
    """
    schedules = Settings().by_alias()
    now = _round(app)
    await run_due(TIMERS, now)  # what is left of earlier
    tables.reset()
    end = app.clock() + timedelta(minutes=15)
    while (began := app.clock()) < end:
        app.clock.move(minutes=1)
        await run_due(TOGETHER, now)
        alone = [timer for timer in TIMERS if timer.alone and is_due(schedules[timer.schedule], began, app.clock())]
        for timer in alone:
            await run([timer], now)
    return 4 * sum(tables.operations.values())


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
        await run(TIMERS, _round(app))
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
    assert [(number, abs(number - said) < said / 10) for number, said in zip((never, later), stated, strict=True)] == [
        (never, True),
        (later, True),
    ]


def test_functions_run_as_often_as_the_page_on_costs_says() -> None:
    """All of them together, in an hour in which nothing happens."""
    [stated] = re.findall(r"(\d+) executions an hour", (ROOT / "docs/deploy.md").read_text(encoding="utf-8"))

    assert executions() == int(stated)
