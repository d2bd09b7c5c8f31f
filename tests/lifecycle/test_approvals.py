"""Approvals as events: asked for once each time a run comes to wait, granted once, whatever dies in between."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import pytest

from kernel.journal import Event
from lifecycle.conversations.run import Run, RunState
from llmops.budgets.budget_rules import Budget, Limit, parse_scope
from tests.lifecycle.app import App, abandon
from tests.lifecycle.doubles import Crash, Fate, spec

LADDER = [{"at": 50, "do": "ask"}]


async def asking(**settings: Any) -> App:
    """Return an app whose agent's next run has to wait for approval."""
    app = App(BUDGET_WAIT_S=0.05, **settings)
    await app.declare(declared=spec(ladder=LADDER))
    budget = Budget(parse_scope("agent:bot"), (Limit("calls", "total", 2),))
    await app.services.budgets.store.put("default", budget, None)
    await app.ask("first")
    return app


async def told(app: App, run: Run) -> list[Event]:
    events = await app.services.conversations.store.events("default", run.session_id, 0, 1000)
    return [event for _, event in events if event.name.startswith("approval.")]


async def announced(app: App, run: Run) -> list[str]:
    """Return the events of approvals in the workspace's stream, once all has been appended."""
    await app.services.conversations.publisher.publish_all_of("default", run.session_id)
    read = [
        event for shard in range(4) for _, event in await app.services.events.journal.read("default", shard, 0, 1000)
    ]
    return [event.name for event in read if event.name.startswith("approval.")]


async def test_an_approval_is_asked_for_and_granted_once_in_both_streams() -> None:
    """By whom is told where it is known; repeating the call tells nothing more."""
    app = await asking()
    run = (await app.submit("asks")).run
    waits = await app.process(app.queue.sent[-1])
    again = await app.process(app.queue.sent[-1])
    for _ in range(2):
        await app.services.runs.resume.resume("default", run.id, app.queue.send, "ops@example.com")
    done = await app.process(app.queue.sent[-1])
    asked, granted = await told(app, run)

    assert (waits.state, again.state, done.state) == (RunState.WAITING, RunState.WAITING, RunState.SUCCEEDED)
    (ident,) = waits.dispatch.awaits
    assert (asked.name, asked.data) == ("approval.requested", {"run_id": run.id, "attempt": 1, "approval_id": ident})
    assert (granted.name, granted.data) == ("approval.granted", {"run_id": run.id, "by": "ops@example.com"})
    assert await announced(app, run) == ["approval.requested", "approval.granted"]
    await app.aclose()


async def test_who_is_not_known_is_not_told() -> None:
    """With function keys nobody is signed in."""
    app = await asking()
    run = (await app.submit("asks")).run
    await app.process(app.queue.sent[-1])
    await app.services.runs.resume.resume("default", run.id, app.queue.send)

    assert (await told(app, run))[1].data == {"run_id": run.id}
    await app.aclose()


async def test_a_run_that_waits_for_its_budget_asks_for_no_approval() -> None:
    """Only the ladder's step asks."""
    app = await asking()
    await app.declare(declared=spec(ladder=[{"at": 50, "do": "stop"}]))
    run = (await app.submit("stops")).run
    waits = await app.process(app.queue.sent[-1])

    assert waits.state is RunState.WAITING
    assert await told(app, run) == []
    await app.aclose()


@pytest.mark.parametrize("after", [False, True])
async def test_each_is_told_once_wherever_a_worker_dies(*, after: bool) -> None:
    """On the way to waiting, and on the way to going on: message and call are repeated, the events are not."""
    number = 0
    for number in itertools.count(1):
        app = await asking()
        run = (await app.submit("asks")).run
        fate = Fate(number, after=after)
        worker = app.worker(fate, model=Fate())
        with contextlib.suppress(Crash):
            await app.process(app.queue.sent[-1], worker=worker)
            await worker.runs.resume.resume("default", run.id, app.queue.send, "ops")
        await abandon(worker)
        app.clock.move(seconds=61)
        repeated = await app.process(app.queue.sent[-1])
        if not repeated.finished:  # or the resumption had come far enough
            await app.services.runs.resume.resume("default", run.id, app.queue.send, "ops")
            for message in app.queue.sent[1:]:
                await app.process(message)
        done, _ = await app.stored(run)

        assert done.state is RunState.SUCCEEDED, number
        assert [event.name for event in await told(app, run)] == ["approval.requested", "approval.granted"], number
        assert sorted(await announced(app, run)) == ["approval.granted", "approval.requested"], number
        await app.aclose()
        if not fate.struck:
            break
    assert number > 5
