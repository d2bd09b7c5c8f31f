"""Agents asked on a schedule: each time once, whatever dies in between, and what was missed as the schedule says."""

from __future__ import annotations

import contextlib
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kernel.due_index import DueTimes
from kernel.errors import Conflict, EtagMismatch, InvalidInput, NotFound
from lifecycle.conversations.run_request import RunRequest
from lifecycle.schedules.schedule_rules import Missed, parse_cron, plan
from lifecycle.schedules.scheduled_submission import scheduled_run_id
from lifecycle.schedules.store import Schedule, ScheduleRequest
from tests.lifecycle.app import App, abandon
from tests.lifecycle.doubles import NOW, CountingTables, Crash, Fate

HOURLY = "0 0 * * * *"


def wanted(cron: str = HOURLY, **more: Any) -> ScheduleRequest:
    return ScheduleRequest("bot", RunRequest(query="Report."), cron, **more)


def day(*fields: int) -> datetime:
    return datetime(*fields, tzinfo=UTC)  # pyright: ignore[reportArgumentType]


def times(cron: str, zone: str, after: datetime, count: int = 3) -> list[str]:
    found = parse_cron(cron, zone, NOW).after(after)
    return [f"{each:%m-%d %H:%M}" for each in itertools.islice(found, count)]


@pytest.fixture
async def app() -> App:
    app = App()
    await app.declare()
    return app


async def run_due(app: App, services: Any = None) -> Any:
    services = services or app.services
    return await services.planned.schedule_runner.run(app.signals, app.queue.send)


async def get(app: App, name: str = "daily") -> Schedule:
    return await app.services.planned.schedules.get("default", name)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("0 30 9 * * 1-5", "UTC", day(2026, 11, 27, 9), ["11-27 09:30", "11-30 09:30", "12-01 09:30"]),
        ("30 9 * * *", "Europe/Berlin", day(2026, 11, 27, 9), ["11-28 08:30", "11-29 08:30", "11-30 08:30"]),
        # Both day of month and day of week: the first Monday of a month.
        ("0 0 9 1-7 * MON", "UTC", day(2026, 11, 27), ["12-07 09:00", "01-04 09:00", "02-01 09:00"]),
        # Clocks go from 2:00 to 3:00: what is skipped comes at its end.
        ("0 30 2 * * *", "Europe/Berlin", day(2026, 3, 28, 12), ["03-29 01:00", "03-30 00:30", "03-31 00:30"]),
        # Clocks go from 3:00 to 2:00: what comes twice counts once …
        ("0 30 2 * * *", "Europe/Berlin", day(2026, 10, 24, 12), ["10-25 00:30", "10-26 01:30", "10-27 01:30"]),
        # … but every hour is every hour.
        ("0 30 * * * *", "Europe/Berlin", day(2026, 10, 25, 0), ["10-25 00:30", "10-25 01:30", "10-25 02:30"]),
    ],
)
def test_times_are_those_of_the_zone(cron: str, zone: str, after: datetime, expected: list[str]) -> None:
    assert times(cron, zone, after) == expected


@pytest.mark.parametrize(
    ("cron", "zone", "code"),
    [
        ("", "UTC", "invalid_cron"),
        ("every day", "UTC", "invalid_cron"),
        ("0 0 25 * * *", "UTC", "invalid_cron"),
        ("0 0 9 L * *", "UTC", "invalid_cron"),
        ("0 0 9 * * MON#1", "UTC", "invalid_cron"),
        ("@daily", "UTC", "invalid_cron"),
        ("0 " * 500, "UTC", "invalid_cron"),
        ("* * * * * *", "UTC", "too_frequent"),
        ("0,30 0 9 * * *", "UTC", "too_frequent"),
        ("0 0 9 30 2 *", "UTC", "never_due"),
        (HOURLY, "Mars/Olympus", "invalid_time_zone"),
        (HOURLY, "Europe", "invalid_time_zone"),
        (HOURLY, "../../etc/passwd", "invalid_time_zone"),
        (HOURLY, "", "invalid_time_zone"),
    ],
)
def test_what_is_no_schedule_is_refused(cron: str, zone: str, code: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_cron(cron, zone, NOW)

    assert raised.value.code == code


@pytest.mark.parametrize(
    ("missed", "late", "submitted", "dropped"),
    [
        (Missed.SKIP, timedelta(minutes=1), 1, 0),
        (Missed.SKIP, timedelta(hours=3, minutes=30), 0, 4),
        (Missed.LATEST, timedelta(hours=3, minutes=30), 1, 3),
        (Missed.ALL, timedelta(hours=3, minutes=30), 4, 0),
        (Missed.ALL, timedelta(days=10), 100, 141),
        (Missed.LATEST, timedelta(hours=3, minutes=1), 1, 3),
    ],
)
def test_what_was_missed_is_made_up_for_by_policy(
    missed: Missed, late: timedelta, submitted: int, dropped: int
) -> None:
    """A time is missed once it is five minutes past."""
    cron, due_at = parse_cron(HOURLY, "UTC", NOW), datetime(2026, 11, 21, 9, tzinfo=UTC)
    found = plan(cron, due_at, missed, due_at + late)

    assert (len(found.submit), found.missed) == (submitted, dropped)
    assert found.next_at is not None
    assert found.next_at > due_at + late


async def test_a_schedule_asks_once_each_time(app: App) -> None:
    """However often it is looked at; the run's id is made of schedule and time."""
    schedule, new = await app.services.planned.schedules.put("default", "daily", wanted())
    early = await run_due(app)
    app.clock.now = datetime(2026, 11, 21, 9, 0, 10, tzinfo=UTC)
    rounds = [await run_due(app) for _ in range(3)]
    app.clock.move(hours=1)
    later = await run_due(app)

    assert (new, schedule.next_at) == (True, datetime(2026, 11, 21, 9, tzinfo=UTC))
    assert (early.submitted, [each.submitted for each in rounds], later.submitted) == (0, [1, 0, 0], 1)
    assert [message.run_id for message in app.queue.sent] == [
        scheduled_run_id("default", "daily", datetime(2026, 11, 21, hour, tzinfo=UTC)) for hour in (9, 10)
    ]
    last = (await get(app)).last
    assert last is not None
    assert (last.run_id, last.error) == (app.queue.sent[-1].run_id, None)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_no_time_is_lost_or_doubled_whatever_dies(after: bool) -> None:
    """A worker dies at any write; the next round ends with one run, and the schedule due next as it should be."""
    number = 0
    for number in itertools.count(1):
        app = App()
        await app.declare()
        await app.services.planned.schedules.put("default", "daily", wanted())
        app.clock.now = datetime(2026, 11, 21, 9, 0, 10, tzinfo=UTC)
        fate = Fate(number, after)
        dying = app.worker(fate)
        with contextlib.suppress(Crash):
            await run_due(app, dying)
        await abandon(dying)
        for _ in range(2):
            await run_due(app)
        app.clock.move(hours=1)
        await run_due(app)

        assert len({message.run_id for message in app.queue.sent}) == 2, number
        assert (await get(app)).next_at == datetime(2026, 11, 21, 11, tzinfo=UTC)
        await app.aclose()
        if not fate.struck:
            break
    assert number > 4


async def test_an_idle_round_is_one_query() -> None:
    """Whatever there is that is due later."""
    tables = CountingTables()
    app = App(tables)
    await app.declare()
    for number in range(5):
        await app.services.planned.schedules.put("default", f"s{number}", wanted())
    tables.reset()
    await run_due(app)

    assert (dict(tables.operations), tables.rows_read) == ({"query due": 1}, 0)


async def test_a_paused_schedule_is_not_made_up_for(app: App) -> None:
    """Its times while it was paused are nobody's; it goes on with the next one."""
    await app.services.planned.schedules.put("default", "daily", wanted(missed=Missed.ALL))
    paused, _ = await app.services.planned.schedules.put("default", "daily", wanted(missed=Missed.ALL, paused=True))
    app.clock.move(hours=3)
    none = await run_due(app)
    again, _ = await app.services.planned.schedules.put("default", "daily", wanted(missed=Missed.ALL))
    app.clock.move(hours=1)
    one = await run_due(app)

    assert (paused.next_at, list(paused.coming(app.clock(), 5)), none.submitted) == (None, [], 0)
    assert again.next_at == datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert one.submitted == 1


async def test_a_time_that_gives_no_run_is_told(app: App) -> None:
    """The agent is switched off: the schedule says why, and goes on."""
    await app.services.planned.schedules.put("default", "daily", wanted())
    await app.services.agents.administration.switch("default", "bot", app.signals, enabled=False)
    app.clock.move(hours=1)
    done = await run_due(app)
    last = (await get(app)).last

    assert (done.refused, done.submitted) == (1, 0)
    assert last is not None
    assert last.error == "agent_disabled"


async def test_a_schedule_of_an_agent_that_there_is_not_is_refused_and_one_whose_agent_goes_tells_so(app: App) -> None:
    """It is not set; a deleted agent's schedule stays, without runs, and goes on once the agent is declared again."""
    schedules = app.services.planned.schedules
    with pytest.raises(InvalidInput) as unknown:
        await schedules.put("default", "other", ScheduleRequest("nobody", RunRequest(query="Report."), HOURLY))
    await schedules.put("default", "daily", wanted())
    await app.services.agents.administration.delete("default", "bot", app.signals)
    with pytest.raises(InvalidInput) as deleted:
        await schedules.put("default", "other", wanted())
    app.clock.move(hours=1)
    refused, last = await run_due(app), (await get(app)).last
    await app.declare()
    app.clock.move(hours=1)
    done = await run_due(app)

    assert (unknown.value.code, unknown.value.fields) == ("unknown_agent", {"/agent": "There is no agent 'nobody'."})
    assert deleted.value.code == "unknown_agent"
    assert [each.name for each in await schedules.list("default")] == ["daily"]
    assert last is not None
    assert (refused.refused, last.error) == (1, "agent_not_found")
    assert done.submitted == 1


async def test_a_queue_that_is_down_misses_nothing(app: App) -> None:
    """The time is tried again in the next round."""
    await app.services.planned.schedules.put("default", "daily", wanted(missed=Missed.SKIP))
    app.clock.now = datetime(2026, 11, 21, 9, 0, 10, tzinfo=UTC)
    app.queue.refuse = True
    await run_due(app)
    app.queue.refuse = False
    done = await run_due(app)

    assert (done.submitted, len(app.queue.sent)) == (1, 1)


async def test_a_schedule_that_was_changed_after_it_had_asked_is_asked_once(app: App) -> None:
    """The worker died after it had submitted, and the query was changed before the next one came: still one run."""
    await app.services.planned.schedules.put("default", "daily", wanted())
    found = await app.services.planned.schedules.stored("default", "daily")
    app.clock.now = datetime(2026, 11, 21, 9, 0, 10, tzinfo=UTC)
    await run_due(app)
    assert found is not None
    current = await app.services.planned.schedules.stored("default", "daily")
    assert current is not None
    changed = Schedule(**{name: getattr(found.schedule, name) for name in Schedule.__slots__})
    object.__setattr__(changed, "run", RunRequest(query="Another."))
    await app.services.planned.schedules.replace("default", changed, current.etag)
    await DueTimes(app.tables, "schedule").add("default", "daily", datetime(2026, 11, 21, 9, tzinfo=UTC))
    done = await run_due(app)

    assert (done.refused, len(app.queue.sent)) == (0, 1)


async def test_schedules_are_set_and_removed_with_care(app: App) -> None:
    """The same again changes nothing; ETags guard it; there is a limit."""
    schedules = app.services.planned.schedules
    first, _ = await schedules.put("default", "daily", wanted())
    same, new = await schedules.put("default", "daily", wanted())
    other, _ = await schedules.put("default", "daily", wanted("0 0 12 * * *"), first.etag)

    assert (same, new, other.revision) == (first, False, 2)
    with pytest.raises(EtagMismatch):
        await schedules.put("default", "daily", wanted(), first.etag)
    with pytest.raises(EtagMismatch):
        await schedules.put("default", "none", wanted(), "*")
    with pytest.raises(EtagMismatch):
        await schedules.delete("default", "daily", first.etag)
    await schedules.delete("default", "daily", other.etag)
    with pytest.raises(NotFound):
        await schedules.get("default", "daily")
    for number in range(200):
        await schedules.put("default", f"s{number}", wanted())
    with pytest.raises(Conflict):
        await schedules.put("default", "one-more", wanted())
