"""What storage's client has repeated by itself is one's own doing: schedules, batches and callbacks take it for that.

A commit takes effect, its answer is lost, and the client's repetition is refused as if somebody else had been faster.
Each test does a thing once for every commit that it takes, and has that one repeated.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from kernel.due_times import DueTimes
from kernel.errors import NotFound
from kernel.ids import new_id
from lifecycle.batches.rules import parse_lines
from lifecycle.conversations.callback import Callback
from lifecycle.conversations.submission import RunRequest
from lifecycle.schedules.store import ScheduleRequest
from llmops.notifications.history import DeliveryState
from tests.lifecycle.app import App
from tests.lifecycle.doubles import RepeatingTables
from tests.llmops.notifications.support import Receiver

HOURLY = ScheduleRequest("bot", RunRequest(query="Report."), "0 0 * * * *")
DAILY = ScheduleRequest("bot", RunRequest(query="Report."), "0 0 7 * * *")


class Repeating:
    """Apps with an agent, one for each commit of what is done with them; the repeated commits are counted anew."""

    def __init__(self) -> None:
        self.most = 0

    async def apps(self, **settings: Any) -> AsyncIterator[tuple[App, RepeatingTables]]:
        """Yield apps until what is done takes fewer commits than the one that would be repeated."""
        for at in itertools.count(1):
            tables = RepeatingTables()
            app = App(tables, **settings)
            await app.declare()
            tables.count, tables.at = 0, at
            yield app, tables
            self.most = max(self.most, tables.count)
            await app.aclose()
            if tables.count < at:
                return


def again(tables: RepeatingTables) -> None:
    """Repeat no more; what follows only looks."""
    tables.at = 0


async def test_a_schedule_is_set_changed_and_deleted() -> None:
    """It is new once; a change under its ETag is not refused for what it did itself; deleting finds it there."""
    repeating = Repeating()
    async for app, tables in repeating.apps():
        schedules = app.services.planned.schedules
        made, new = await schedules.put("default", "daily", HOURLY)
        changed, anew = await schedules.put("default", "daily", DAILY, made.etag)
        await schedules.delete("default", "daily", changed.etag)
        again(tables)

        assert (new, anew, changed.revision) == (True, False, 2)
        with pytest.raises(NotFound):
            await schedules.delete("default", "daily")
    assert repeating.most >= 5


async def test_a_time_that_is_due_gives_one_run_and_the_next_is_in_the_index() -> None:
    """The round that submits it also moves it on, and leaves nothing for the next one."""
    repeating = Repeating()
    async for app, tables in repeating.apps():
        await app.services.planned.schedules.put("default", "daily", HOURLY)
        app.clock.move(seconds=3600)
        done = await app.services.planned.schedule_runner.run(app.signals, app.queue.send)
        again(tables)
        now = app.clock()
        due = [entry async for entry in DueTimes(tables, "schedule").until(now + timedelta(hours=2))]
        schedule = await app.services.planned.schedules.get("default", "daily")

        assert (done.submitted, len(app.queue.sent)) == (1, 1)
        assert [entry.name for entry in due] == ["daily"]
        assert schedule.last is not None
        assert (schedule.last.error, schedule.next_at is not None and schedule.next_at > now) == (None, True)


async def test_a_batch_is_new_once_and_its_runs_are_submitted_once() -> None:
    """Whoever posts it is told so; the round that submits its runs knows that they are on their way."""
    items = list(parse_lines(b'{"query": "One"}\n{"query": "Two"}', "bot", 1000))
    repeating = Repeating()
    async for app, tables in repeating.apps():
        ident = new_id()
        _, new = await app.services.planned.batches.create("default", ident, items, None)
        app.clock.move(seconds=6)
        submitted = await app.services.planned.batches.run(app.signals, app.queue.send)
        again(tables)
        batch = await app.services.planned.batch_store.get("default", ident)

        assert (new, submitted, len(app.queue.sent)) == (True, 2, 2)
        assert (batch.progress.submitted, batch.progress.underway) == (2, (0, 1))


async def test_the_end_of_a_run_is_reported_once() -> None:
    """By the worker that ended it, or else by the timer's next round; whoever has begun it also finishes it."""
    repeating = Repeating()
    async with Receiver() as receiver:
        async for app, tables in repeating.apps(WEBHOOKS_ALLOW_PRIVATE="true"):
            accepted = await app.submit(callback=Callback(url=receiver.url))
            await app.requeued(app.queue.sent[-1])
            await app.services.conversations.callbacks.aclose()
            await app.services.conversations.callbacks.deliver()
            again(tables)
            run, _ = await app.stored(accepted.run)
            record = await app.services.conversations.callback_records.get("default", run.created_at, run.id)

            assert record is not None
            assert (record.state, record.attempts) == (DeliveryState.DELIVERED, 1)
            assert len(receiver.received) == 1
            receiver.received.clear()
    assert repeating.most >= 8
