"""A run whose tool calls wait for people: it keeps what it has done, and goes on as they decide."""

from __future__ import annotations

from typing import Any

import pytest

from lifecycle.approvals.decisions import Ruling
from lifecycle.approvals.model import Person
from lifecycle.conversations.run import Run, RunState
from tests.lifecycle.app import App
from tests.lifecycle.doubles import spec

ANN = Person("ann@example.com", frozenset({"ann@example.com"}))


def asking(**rule: Any) -> Any:
    """Return an agent whose calculator needs an approval."""
    return spec(
        tools=("calculator",),
        simulate={"call_tool": "calculator"},
        approvals=[{"tools": ["calculator"], **rule}],
    )


async def waiting(app: App, query: str = "2 + 3", **more: Any) -> Run:
    """Return a run that waits for a decision."""
    await app.submit(query, **more)
    run = await app.process(app.queue.sent[-1])
    assert run.state is RunState.WAITING
    return run


async def decide(app: App, run: Run, ruling: Ruling, person: Person = ANN) -> Run:
    """Decide all that the run waits for, and return it as it then comes out."""
    before = len(app.queue.sent)
    for ident in run.dispatch.awaits:
        await app.services.approval_decisions.decide("default", ident, person, ruling, app.queue.send)
    for message in app.queue.sent[before:]:
        await app.process(message)
    return (await app.stored(run))[0]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_approved_call_is_made_and_the_run_goes_on_from_it(*, stream: bool) -> None:
    """The model is not asked again for what it had asked for."""
    app = App()
    await app.declare(declared=asking())
    run = await waiting(app, stream=stream)
    done = await decide(app, run, Ruling("approve"))
    lines = await app.lines(run)

    assert done.state is RunState.SUCCEEDED
    assert "returned '5'" in (done.answer or "")
    assert [(line.attempt, line.call) for line in lines] == [(1, 1), (2, 1)]
    assert done.wasted.calls == 0
    await app.aclose()
