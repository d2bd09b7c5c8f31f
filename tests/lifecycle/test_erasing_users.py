"""Erasing a user: nothing of the user is left in any session or fact, however often the work is cut short."""

from __future__ import annotations

import contextlib

import pytest

from kernel.tables import Span, every
from lifecycle.conversations.run import RunState
from lifecycle.runs.list import RunFilter
from tests.lifecycle.app import App, abandon
from tests.lifecycle.doubles import Crash, Fate
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
