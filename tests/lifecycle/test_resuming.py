"""Runs that a budget stopped go on in the background when it is raised, and the answer does not wait for them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kernel.errors import Unavailable
from lifecycle.conversations.run import RunState
from lifecycle.conversations.run_request import Submission
from llmops.budgets.budget_rules import Budget, Limit, parse_scope
from tests.lifecycle.app import App

WAITING = 39


@pytest.fixture
async def app() -> Any:
    app = App(BUDGET_WAIT_S=0.01)
    await app.declare()
    await app.services.budgets.store.put(
        "default", Budget(parse_scope("workspace"), (Limit("tokens", "total", 1),)), None
    )
    for n in range(WAITING):
        await app.submit(f"Q{n}")
        await app.process(app.queue.sent[-1])
    app.queue.sent.clear()
    yield app
    await app.aclose()


async def raised(app: App) -> None:
    _, etag = await app.services.budgets.store.get("default", parse_scope("workspace"))
    await app.services.budgets.store.delete("default", parse_scope("workspace"), etag)


async def test_the_answer_does_not_wait_for_those_who_waited(app: App) -> None:
    """It says how many there are; all of them are queued soon."""
    sending = asyncio.Event()

    async def slow(submission: Submission) -> None:
        await sending.wait()
        await app.queue.send(submission)

    await raised(app)
    waiting = await app.services.runs.resume.begin("default", slow)
    assert (waiting, app.queue.sent) == (WAITING, [])
    sending.set()
    await app.services.runs.resume.settled()
    runs = [await app.services.runs.queries.get("default", message.run_id) for message in app.queue.sent]

    assert len({run.id for run in runs}) == WAITING
    assert {run.state for run in runs} == {RunState.QUEUED}
    assert await app.services.runs.resume.begin("default", slow) == 0


async def test_what_is_not_resumed_in_the_background_is_resumed_by_the_timer(app: App) -> None:
    """A broker that cannot be reached, or a process that dies, leaves them where the timer looks."""

    async def refused(_: Submission) -> None:
        raise Unavailable(code="queue_unavailable")

    await raised(app)
    await app.services.runs.resume.begin("default", refused)
    await app.services.runs.resume.settled()
    app.clock.move(hours=1)
    await app.services.conversations.pause.finish(app.queue.send)
    await app.services.runs.resume.resume_all(app.queue.send)

    assert len({message.run_id for message in app.queue.sent}) == WAITING
