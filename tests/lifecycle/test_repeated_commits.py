"""What storage's client has repeated by itself is one's own doing: whatever callers change takes it for that.

A commit takes effect, its answer is lost, and the client's repetition is refused as if somebody else had been faster.
Each test does a thing once for every commit that it takes, and has that one repeated.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from kernel.due_index import DueTimes
from kernel.errors import EtagMismatch, NotFound
from kernel.ids import new_id
from lifecycle.approvals.policy import Policy
from lifecycle.batches.batch_rules import parse_lines
from lifecycle.configuration.kinds import Kind, Ref
from lifecycle.configuration.layers import Template
from lifecycle.configuration.preferences import Preferences
from lifecycle.conversations.run_callbacks import Callback
from lifecycle.conversations.run_request import RunRequest
from lifecycle.retention.policy import DataRetentionPolicy
from lifecycle.schedules.store import ScheduleRequest
from lifecycle.specs.team import Team
from lifecycle.specs.workflow import WorkflowSpec
from llmops.notifications.channels import ChannelRequest
from llmops.notifications.delivery_history import DeliveryState
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


Put = Callable[[int, str | None], Awaitable[tuple[str, bool | None]]]
Remove = Callable[[str], Awaitable[None]]


def _thing(app: App, kind: str) -> tuple[Put, Remove | None]:
    """Return how to store one of two values of a thing under an ETag, and how to delete it, if it can be."""
    services = app.services

    async def approval_policy(at: int, etag: str | None) -> tuple[str, bool | None]:
        return await services.approvals.policies.put("default", Policy(standing=at == 1), etag), None

    async def retention_policy(at: int, etag: str | None) -> tuple[str, bool | None]:
        policy = DataRetentionPolicy(sessions_s=3600 + at)
        return await services.sessions.retention.put_policy("default", policy, etag), None

    async def preferences(at: int, etag: str | None) -> tuple[str, bool | None]:
        put, new = await users.put("default", "u", Preferences(note=f"{at}"), etag)
        return put.etag, new

    async def channel(at: int, etag: str | None) -> tuple[str, bool | None]:
        put, new = await channels.put("default", "c", ChannelRequest(f"https://example.com/{at}"), etag)
        return put.etag, new

    async def team(at: int, etag: str | None) -> tuple[str, bool | None]:
        said = Team.model_validate({"members": [{"name": f"m{at}", "agent": "bot", "specialization": "all"}]})
        put, new = await services.teams.store.put("default", "t", said, etag)
        return put.etag, new

    async def workflow(at: int, etag: str | None) -> tuple[str, bool | None]:
        said = WorkflowSpec.model_validate({"steps": [{"name": f"s{at}", "agent": "bot"}]})
        put, new = await services.workflows.definitions.put("default", "w", said, etag)
        return put.etag, new

    async def template(at: int, etag: str | None) -> tuple[str, bool | None]:
        put = await changes.put("default", ref, Template(category=f"c{at}"), app.signals, etag)
        return put.item.etag, put.new

    users, channels, ref = services.configuration.users, services.notifications.channels, Ref(Kind.TEMPLATE, "own")
    changes = services.agents.configuration_changes
    return {
        "approval policy": (approval_policy, None),
        "retention policy": (retention_policy, None),
        "preferences": (preferences, lambda etag: users.delete("default", "u", etag)),
        "channel": (channel, lambda etag: channels.delete("default", "c", etag)),
        "team": (team, lambda etag: services.teams.store.delete("default", "t", etag)),
        "workflow": (workflow, lambda etag: services.workflows.definitions.delete("default", "w", etag)),
        "template": (template, lambda etag: changes.delete("default", ref, app.signals, etag)),
    }[kind]


@pytest.mark.parametrize(
    "kind", ["approval policy", "retention policy", "preferences", "channel", "team", "workflow", "template"]
)
async def test_what_callers_replace_is_new_once_changed_under_its_etag_and_deleted(kind: str) -> None:
    """Neither is refused for what it did itself; whoever comes with the old ETag is."""
    repeating = Repeating()
    async for app, tables in repeating.apps():
        put, delete = _thing(app, kind)
        first, new = await put(0, None)
        second, anew = await put(1, first)
        again(tables)

        assert (new, anew) in [(True, False), (None, None)]
        assert first != second
        with pytest.raises(EtagMismatch):
            await put(0, first)
    async for app, tables in repeating.apps():
        put, delete = _thing(app, kind)
        if delete is None:
            continue
        etag, _ = await put(0, None)
        await delete(etag)
        again(tables)
        with pytest.raises(NotFound):
            await delete(etag)
    assert repeating.most >= 2
