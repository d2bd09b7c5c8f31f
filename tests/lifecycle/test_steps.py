"""What a run did, in order, over attempts and waits, from what is stored anyway."""

from __future__ import annotations

import contextlib

import pytest

from kernel.errors import NotFound
from kernel.ids import new_id
from lifecycle.conversations.run import RunState
from lifecycle.runs.run_timeline import Step
from tests.lifecycle.app import App, abandon
from tests.lifecycle.approvals.kit import PayingApp, asking, decide, waiting
from tests.lifecycle.doubles import Crash, Fate, spec
from tests.lifecycle.test_budgets import limit

TOOLED = spec(tools=("order_status",), simulate={"call_tool": "order_status"})


def told(steps: list[Step]) -> list[tuple[str, int, str, str]]:
    return [(step.kind.value, step.attempt, step.name, step.outcome) for step in steps]


async def steps_of(app: App, run_id: str) -> list[Step]:
    return list(await app.services.runs.steps.of("default", run_id))


async def test_steps_are_calls_and_tools_in_order_with_their_costs() -> None:
    """The wait for the queue first; what a tool was given is shown as the tool says."""
    app = App(EXTENSIONS="examples.extensions")
    await app.declare(declared=TOOLED)
    run = await app.ask("A1001")
    steps = await steps_of(app, run.id)

    assert told(steps) == [
        ("wait", 0, "queue", ""),
        ("model_call", 1, "gpt-4o-mini", "answered"),
        ("tool_call", 1, "order_status", "ok"),
        ("model_call", 1, "gpt-4o-mini", "answered"),
    ]
    tool = next(step for step in steps if step.kind == "tool_call")
    assert tool.arguments == {"order_id": "A1001"}
    assert tool.result == "Order A1001 is packed, leaves today."
    assert tool.result_bytes == len(tool.result)
    assert sum(step.cost_micro_usd or 0 for step in steps) == run.spend.cost_micro_usd
    await app.aclose()


async def test_steps_go_over_attempts_and_the_waits_between_them() -> None:
    """Each wait says why; an attempt whose model did not answer has its call, too."""
    app = App()
    await app.declare(declared=spec(simulate={"fail_first": 1, "fail_with": "throttled"}))
    await app.submit()
    await app.requeued(app.queue.sent[-1])
    [(_, again)] = app.queue.scheduled or [(None, app.queue.sent[-1])]
    waiting = await steps_of(app, again.run_id)
    app.clock.move(seconds=30)
    run = await app.requeued(again)
    steps = await steps_of(app, again.run_id)

    assert run is not None
    assert run.state is RunState.SUCCEEDED
    assert (waiting[-1].kind, waiting[-1].name, waiting[-1].ms) == ("wait", "retry", None)
    assert told(steps) == [
        ("wait", 0, "queue", ""),
        ("model_call", 1, "gpt-4o-mini", "refused"),
        ("wait", 1, "retry", "provider_throttled"),
        ("model_call", 2, "gpt-4o-mini", "answered"),
    ]
    assert steps[2].ms == 30_000
    await app.aclose()


async def test_steps_of_a_run_that_is_under_way_are_those_so_far() -> None:
    """Read from the run itself: no fact of the attempt is written yet."""
    app = App()
    await app.declare()
    accepted, working, gate = await app.held()
    steps = await steps_of(app, accepted.run.id)
    gate.open.set()
    await working

    assert told(steps)[0] == ("wait", 0, "queue", "")
    assert all(step.outcome == "unsettled" for step in steps[1:])
    await app.aclose()


async def test_a_run_that_waits_for_a_budget_says_so() -> None:
    """Until it goes on; the steps before the wait are there."""
    app = App(EXTENSIONS="examples.extensions")
    await app.declare(declared=TOOLED)
    await limit(app, "agent:bot", "calls", 1)
    await app.submit("A1001")
    run = await app.process(app.queue.sent[-1])
    steps = await steps_of(app, run.id)

    assert run.state is RunState.WAITING
    assert told(steps)[-2:] == [("tool_call", 1, "order_status", "ok"), ("wait", 1, "budget", "budget_exceeded")]
    assert steps[-1].ms is None
    await app.aclose()


async def test_what_a_worker_did_that_died_is_among_the_steps_and_told_to_the_tool() -> None:
    """Its tool calls are noted with its model calls; the attempt that begins the run over may repeat them."""
    number = 0
    while True:
        number += 1
        app = PayingApp()
        await app.declare(declared=spec(tools=("pay",), simulate={"call_tool": "pay"}))
        run = (await app.submit("ann")).run
        worker = app.worker(Fate(number, after=True))
        with contextlib.suppress(Crash):
            await app.process(app.queue.sent[-1], worker=worker)
        await abandon(worker)
        if len((await app.stored(run))[0].last.noted.calls) == 2:  # it died before the second one was answered
            break
        await app.aclose()
    app.clock.move(seconds=120)
    done = await app.process(app.queue.sent[-1])

    assert done.state is RunState.SUCCEEDED
    assert [(kind, attempt, outcome) for kind, attempt, _, outcome in told(await steps_of(app, run.id))] == [
        ("wait", 0, ""),
        ("model_call", 1, "answered"),
        ("tool_call", 1, "ok"),
        ("model_call", 1, "unsettled"),
        ("wait", 1, "worker_lost"),
        ("model_call", 2, "answered"),
        ("tool_call", 2, "ok"),
        ("model_call", 2, "answered"),
    ]
    assert app.repeats == [False, True]
    await app.aclose()


async def test_steps_go_over_an_approval() -> None:
    """The wait for it says so; a tool that does not show its result is listed with the size of it."""
    app = App()
    await app.declare(declared=asking())
    run = await waiting(app)
    while_waiting = await steps_of(app, run.id)
    app.clock.move(seconds=90)
    done = await decide(app, run)
    steps = await steps_of(app, run.id)

    assert run.error is not None
    assert run.error.detail == "The run waits for a person's decision; its approvals say about what."
    assert done.state is RunState.SUCCEEDED
    assert told(while_waiting)[-1] == ("wait", 1, "approval", "approval_needed")
    assert told(steps) == [
        ("wait", 0, "queue", ""),
        ("model_call", 1, "gpt-4o-mini", "answered"),
        ("wait", 1, "approval", "approval_needed"),
        ("tool_call", 2, "calculator", "ok"),
        ("model_call", 2, "gpt-4o-mini", "answered"),
    ]
    assert steps[2].ms == 90_000
    assert (steps[3].arguments, steps[3].result, steps[3].result_bytes) == ({"expression": "[hidden]"}, None, 1)
    await app.aclose()


async def test_a_run_that_is_not_there_has_no_steps() -> None:
    """As for every other question about it."""
    app = App()
    with pytest.raises(NotFound):
        await steps_of(app, new_id())
