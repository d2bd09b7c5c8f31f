"""Erasing a user: nothing of the user is left in any session or fact, however often the work is cut short."""

from __future__ import annotations

import contextlib

import pytest

from kernel.errors import Unavailable
from kernel.ids import new_id
from kernel.tables import Row, Span, Upsert, every
from lifecycle.batches.batch_rules import Item
from lifecycle.batches.store import TABLE as BATCHES
from lifecycle.conversations.run import RunState
from lifecycle.conversations.run_request import RunRequest
from lifecycle.conversations.session import SessionState
from lifecycle.runs.run_queries import RunFilter
from lifecycle.schedules.store import ScheduleRequest
from tests.lifecycle.app import App, abandon
from tests.lifecycle.doubles import CountingTables, Crash, Fate
from tests.lifecycle.retention.test_retention import keep_at_provider
from tests.lifecycle.test_erasing import TABLES

USER = "ann.the-user@example.org"
SECRET = "my-secret-question"


async def asked(app: App) -> None:
    """Have the user ask in three sessions of her own and in one that is nobody's, and another user in one."""
    await app.declare()
    for n in range(3):
        await app.ask(f"{SECRET} {n}", session_id=f"own-{n}", user_id=USER)
    await app.services.sessions.start.start("default", "bot", "shared")
    await app.ask("What is here?", session_id="shared", user_id=USER)
    app.clock.move(seconds=1)
    await app.ask("What is there?", session_id="other", user_id="bob")


async def everything(app: App) -> str:
    found = [
        f"{table} {row.partition} {row.key} {dict(row.values)}"
        for table in TABLES
        async for row in every(app.tables, table, Span(" ", partition_before="~"))
    ]
    return "\n".join(found)


async def test_nothing_of_a_user_is_left() -> None:
    """Nor do others lose anything."""
    app = App()
    await asked(app)
    receipt = await app.services.sessions.user_erasure.erase("default", USER)
    left = await everything(app)
    again = await app.services.sessions.user_erasure.erase("default", USER)

    assert (receipt.sessions, receipt.runs, receipt.completed_at is not None) == (3, 1, True)
    assert USER not in left
    assert SECRET not in left
    assert "What is there?" in left
    assert (again.sessions, again.runs, again.completed_at is not None) == (0, 0, True)
    page, _ = await app.services.runs.list.page("default", RunFilter(), 50, None)
    assert [(run.session_id, run.user_id, run.state) for run in page] == [
        ("other", "bob", RunState.SUCCEEDED),
        ("shared", None, RunState.SUCCEEDED),
    ]


async def test_a_session_that_cannot_be_erased_keeps_nothing_else_of_the_user() -> None:
    """Its provider is gone: the caller is told, everything else is erased, and the timer tries again."""
    app = App()
    await asked(app)
    await keep_at_provider(app, "own-2")
    with pytest.raises(Unavailable) as refused:
        await app.services.sessions.user_erasure.erase("default", USER)
    finished = await app.services.sessions.user_erasure.finish()
    store = app.services.conversations.store
    found = [(await store.load("default", name)).session for name in ("own-0", "own-1")]
    shared = [run async for run in store.runs("default", "shared")]

    assert (refused.value.code, finished) == ("provider_not_configured", 0)
    assert [session and session.state for session in found] == [SessionState.ERASED] * 2
    assert [run.user_id for run in shared] == [None]


async def test_another_workspaces_user_of_that_name_stays() -> None:
    """A user is one workspace's."""
    app = App()
    await asked(app)
    await app.services.sessions.user_erasure.erase("team", USER)

    assert USER in await everything(app)


async def test_what_a_call_does_not_come_to_is_done_by_the_timer() -> None:
    """It answers in time, and says that there is more."""
    app = App()
    await asked(app)
    receipt = await app.services.sessions.user_erasure.erase("default", USER, patience_s=0)
    done = await app.services.sessions.user_erasure.finish()

    assert (receipt.completed_at, done) == (None, 1)
    assert USER not in await everything(app)
    assert await app.services.sessions.user_erasure.finish() == 0


@pytest.mark.parametrize("number", range(1, 40, 3))
async def test_an_erasure_that_dies_is_finished_by_the_timer(number: int) -> None:
    """Whatever was the last thing it did."""
    app = App()
    await asked(app)
    dying = app.worker(Fate(number, after=True))
    with contextlib.suppress(Crash):
        await dying.sessions.user_erasure.erase("default", USER)
    await abandon(dying)
    app.clock.move(minutes=5)
    await app.services.sessions.erasure.finish()
    await app.services.sessions.user_erasure.finish()

    assert USER not in await everything(app)
    assert SECRET not in await everything(app)


async def test_preferences_that_cannot_be_read_are_erased_too() -> None:
    """And keep nothing else of the user."""
    app = App()
    await asked(app)
    row = Row("default!preferences", USER, {"content": '{"from": "a later version"}', "version": 1})
    await app.tables.commit("configuration", [Upsert(row)])
    receipt = await app.services.sessions.user_erasure.erase("default", USER)

    assert receipt.completed_at is not None
    assert await app.tables.get("configuration", row.partition, row.key) is None


async def planned(app: App) -> str:
    """Have a schedule and two lines of a batch ask in the user's name, and one of each in another's."""
    for name, who, text in (("hers", USER, SECRET), ("his", "bob", "His report.")):
        wanted = ScheduleRequest("bot", RunRequest(query=text, user_id=who), "0 0 * * * *")
        await app.services.planned.schedules.put("default", name, wanted)
    asked_by = ((USER, SECRET), ("bob", "His line."), (USER, SECRET))
    lines = [Item(n, f"l{n}", "bot", RunRequest(query=text, user_id=who)) for n, (who, text) in enumerate(asked_by)]
    batch, _ = await app.services.planned.batches.create("default", new_id(), lines, None)
    return batch.id


async def move_on(app: App) -> None:
    """Let an hour pass, with all that is due in it."""
    for _ in range(3):
        app.clock.move(minutes=30)
        await app.services.planned.batches.run(app.signals, app.queue.send)
        await app.services.planned.schedule_runner.run(app.signals, app.queue.send)
        while app.queue.sent:
            await app.process(app.queue.sent.pop(0), last=True)


async def test_nothing_more_is_asked_in_an_erased_users_name() -> None:
    """Schedules of the user go, waiting lines are cancelled without their texts, and those of others are asked."""
    app = App()
    await app.declare()
    batch = await planned(app)
    receipt = await app.services.sessions.user_erasure.erase("default", USER)
    left = await everything(app)
    finished = await app.services.sessions.user_erasure.finish()
    await move_on(app)
    done = await app.services.planned.batch_store.get("default", batch)
    results = await app.services.planned.batches.results("default", batch, 0, 10)
    runs, _ = await app.services.runs.list.page("default", RunFilter(), 50, None)

    assert SECRET not in left
    assert USER not in left.replace(next(line for line in left.splitlines() if "usererasure!" in line), "")
    assert (receipt.completed_at, finished) == (None, 1)
    assert USER not in await everything(app)
    assert {run.user_id for run in runs} == {"bob"}
    assert [schedule.name for schedule in await app.services.planned.schedules.list("default")] == ["his"]
    assert (done.state, done.progress.succeeded, done.progress.cancelled) == ("completed", 1, 2)
    assert [each.refused for each in results] == ["user_erased", "", "user_erased"]


async def test_lines_that_were_run_are_blanked_too() -> None:
    """A batch is kept for a month once it is over."""
    app = App()
    await app.declare()
    batch = await planned(app)
    await move_on(app)
    await app.services.sessions.user_erasure.erase("default", USER)
    await app.services.sessions.user_erasure.finish()
    results = await app.services.planned.batches.results("default", batch, 0, 10)

    assert USER not in await everything(app)
    assert SECRET not in await everything(app)
    assert [(each.run is not None, each.refused) for each in results] == [(False, ""), (True, ""), (False, "")]


async def test_what_was_being_submitted_as_its_user_was_erased_is_erased_too() -> None:
    """A worker that had read a line submits it after its text is gone: the timer comes once more."""
    app = App()
    await app.declare()
    await planned(app)
    await app.services.sessions.user_erasure.erase("default", USER)
    await app.ask(SECRET, user_id=USER)
    await app.services.sessions.user_erasure.finish()

    assert USER not in await everything(app)
    assert SECRET not in await everything(app)


async def test_a_refusal_brings_no_erased_line_back() -> None:
    """A worker that had read the line only adds why it was refused, to what is left of it."""
    app = App()
    await app.declare()
    batch, store = await planned(app), app.services.planned.batch_store
    await app.services.sessions.user_erasure.erase("default", USER)
    await store.refuse("default", batch, 0, "agent_not_found")
    await store.refuse("default", batch, 1, "agent_not_found")
    items = await store.items("default", batch, 0, 10)

    assert [(each.item.request.query, each.refused) for each in items] == [
        ("", "user_erased"),
        ("His line.", "agent_not_found"),
        ("", "user_erased"),
    ]


async def test_lines_of_batches_that_name_nobody_are_not_read() -> None:
    """What is read of such a batch is its row in the list."""
    app = App(CountingTables())
    lines = [Item(n, f"l{n}", "bot", RunRequest(query="Hi")) for n in range(500)]
    await app.services.planned.batches.create("default", new_id(), lines, None)
    tables = app.tables
    assert isinstance(tables, CountingTables)
    before = tables.operations[f"query {BATCHES}"]
    await app.services.sessions.user_erasure.erase("default", USER)

    assert tables.operations[f"query {BATCHES}"] - before == 1


@pytest.mark.parametrize("number", range(1, 30, 2))
async def test_whatever_dies_nothing_more_is_asked_in_an_erased_users_name(number: int) -> None:
    """The timer finishes with schedules and batches as it does with sessions."""
    app = App()
    await app.declare()
    await planned(app)
    dying = app.worker(Fate(number, after=True))
    with contextlib.suppress(Crash):
        await dying.sessions.user_erasure.erase("default", USER)
    await abandon(dying)
    for _ in range(2):
        app.clock.move(minutes=5)
        await app.services.sessions.user_erasure.finish()

    assert USER not in await everything(app)
    assert SECRET not in await everything(app)
