"""Timers that one function runs: what is due, what fails, and running one by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from kernel.errors import Unavailable
from llmops.evaluation.policy import EvaluationPolicy, JudgePolicy
from tests.lifecycle.app import App, Gate
from tests.lifecycle.doubles import CountingTables, spec
from tests.triggers.conftest import Edge, request
from tests.waiting import eventually
from triggers.http import timers as resource
from triggers.timers import TIMERS, Done, Round, Timer, run, run_due


def given(app: App) -> Round:
    queue: Any = app.queue
    return Round(app.services, queue, app.signals)


def timer(name: str, ran: list[str], work: Callable[[], Awaitable[Any]] | None = None, **more: Any) -> Timer:
    """Return a timer that is due every minute and notes that it ran."""

    async def does(_: Round) -> Done:
        ran.append(name)
        if work:
            await work()
        return Done("x.done", "%d done", (1,))

    return Timer(name, "NOTIFY_SCHEDULE", does, **more)


def status_requests(tables: CountingTables) -> dict[str, int]:
    return {name: count for name, count in tables.operations.items() if name.endswith(" timers")}


async def test_what_is_due_runs_once_a_minute_for_one_read_and_one_write() -> None:
    """However many timers there are."""
    tables = CountingTables()
    app, ran = App(tables), list[str]()
    timers = [timer(name, ran) for name in ("a", "b", "c")]
    await run_due(timers, given(app))
    tables.reset()
    await run_due(timers, given(app))
    too_soon, idle = list(ran), status_requests(tables)
    app.clock.move(minutes=1)
    tables.reset()
    await run_due(timers, given(app))

    assert (sorted(too_soon), idle) == (["a", "b", "c"], {"query timers": 1})
    assert sorted(ran) == ["a", "a", "b", "b", "c", "c"]
    assert status_requests(tables) == {"query timers": 1, "commit timers": 1}
    await app.aclose()


async def test_one_that_fails_stops_no_other_and_is_tried_when_it_is_due_again() -> None:
    """It is what the function fails with, so that the host counts and logs it."""
    app, ran = App(), list[str]()

    async def fails() -> None:
        raise Unavailable(code="storage_unavailable")

    timers = [timer("bad", ran, fails), timer("good", ran), timer("worse", ran, fails)]
    with pytest.raises(Unavailable):
        await run_due(timers[:2], given(app))
    app.clock.move(minutes=1)
    with pytest.raises(ExceptionGroup) as several:
        await run_due(timers, given(app))
    statuses = {each.timer: each for each in await app.services.events.timer_statuses.all()}

    assert [type(each) for each in several.value.exceptions] == [Unavailable, Unavailable]
    assert sorted(ran) == ["bad", "bad", "good", "good", "worse"]
    assert (statuses["bad"].failure, statuses["bad"].failing) == ("storage_unavailable", True)
    assert not statuses["good"].failing
    await app.aclose()


async def test_what_sends_what_others_have_found_runs_after_them_and_nobody_waits_for_another() -> None:
    """Those that are not last run side by side."""
    app, ran, met = App(), list[str](), asyncio.Barrier(2)
    timers = [timer("sends", ran, last=True), timer("a", ran, met.wait), timer("b", ran, met.wait)]
    async with asyncio.timeout(5):
        await run(timers, given(app))

    assert ran[-1] == "sends"
    await app.aclose()


async def test_one_that_takes_minutes_delays_no_other() -> None:
    """They run again whenever they are due, also where one of them fails; it is not begun a second time meanwhile."""
    app, ran, gate = App(NOTIFY_SCHEDULE="* * * * * *"), list[str](), asyncio.Event()

    async def fails() -> None:
        app.clock.move(seconds=1)
        if ran.count("quick") == 2:
            gate.set()
        raise Unavailable(code="storage_unavailable")

    timers = [timer("hangs", ran, gate.wait, slow=True), timer("quick", ran, fails), timer("sends", ran, last=True)]
    with pytest.raises(ExceptionGroup) as several:
        async with asyncio.timeout(30):
            await run_due(timers, given(app))
    statuses = {each.timer: each for each in await app.services.events.timer_statuses.all()}

    assert (ran.count("hangs"), ran.count("quick")) == (1, 2)
    assert "sends" in ran
    assert len(several.value.exceptions) == 2
    assert (statuses["hangs"].failing, statuses["quick"].failing) == (False, True)
    await app.aclose()


async def test_a_judge_that_hangs_delays_no_other_timer() -> None:
    """Budgets, alerts and notifications go on minute by minute, and the judge's finding is kept in the end."""
    app, gate = App(BUDGET_SCHEDULE="* * * * * *"), Gate()
    await app.declare("judge", spec(simulate={"reply": '{"score": 2, "reason": "Too short."}'}))
    await app.declare(declared=spec(evaluation=EvaluationPolicy(judge=JudgePolicy(agent="judge"))))
    run = await app.ask()
    worker = app.worker(gate=gate)
    hanging = asyncio.create_task(run_due(TIMERS, replace(given(app), services=worker)))
    await gate.entered.wait()

    async def succeeded() -> dict[str, Any]:
        return {each.timer: each.succeeded_at for each in await app.services.events.timer_statuses.all()}

    async def gone_on() -> bool:
        return (await succeeded()).get("tend_budgets") == app.clock()

    app.clock.move(minutes=1)
    await eventually(gone_on)
    during = await succeeded()
    gate.open.set()
    await hanging
    after, _ = await app.stored(run)

    assert "evaluate_answers" not in during
    assert {during[name] for name in ("evaluate_alerts", "deliver_notifications")} == {app.clock()}
    assert "evaluate_answers" in await succeeded()
    assert after.score
    assert after.score.parts["judge"] == 25
    await worker.aclose()
    await app.aclose()


async def test_one_that_is_mostly_quick_is_noted_with_the_others() -> None:
    """An app that nobody uses pays for no more writes."""
    tables = CountingTables()
    app, ran = App(tables), list[str]()
    await run_due([timer("slow", ran, slow=True), timer("quick", ran)], given(app))

    assert sorted(ran) == ["quick", "slow"]
    assert status_requests(tables) == {"query timers": 1, "commit timers": 1}
    await app.aclose()


async def test_timers_are_listed_and_run_by_hand() -> None:
    """Its next time by schedule is not before it is due again."""
    edge = Edge(resource)
    ran = await edge("timers_run", request(route={"name": "aggregate_costs"}))
    unknown = await edge("timers_run", request(route={"name": "aggregate_cost"}))
    listed = json.loads((await edge("timers_list", request(method="GET"))).get_body())["items"]
    [costs] = [each for each in listed if each["name"] == "aggregate_costs"]

    assert json.loads(ran.get_body()) == {
        "name": "aggregate_costs",
        "done": "0 new facts, 0 days changed, 0 reports announced",
    }
    assert (unknown.status_code, json.loads(unknown.get_body())["code"]) == (404, "timer_not_found")
    assert [each["name"] for each in listed] == [each.name for each in TIMERS]
    assert (costs["setting"], costs["schedule"], costs["overdue"]) == ("REPORT_SCHEDULE", "0 */5 * * * *", False)
    assert costs["succeeded_at"]
    assert await edge.services.events.timer_statuses.all()
    await edge.services.aclose()


async def test_timers_belong_to_the_operators_workspace() -> None:
    """They work for all workspaces: another one's callers neither see nor run them."""
    settings = App().services.core.settings
    edge = Edge(resource, settings=type(settings)(scaling_workspace="operators"))
    for function, asked in (
        ("timers_list", request(method="GET")),
        ("timers_run", request(route={"name": "expire_events"})),
    ):
        refused = await edge(function, asked)
        assert (refused.status_code, json.loads(refused.get_body())["code"]) == (403, "timers_other_workspace")
    assert await edge.services.events.timer_statuses.all() == []
    await edge.services.aclose()


async def test_a_worker_that_dies_before_it_has_noted_them_leaves_them_due() -> None:
    """They run again: each is harmless twice."""
    app, ran = App(), list[str]()

    async def dies() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await run_due([timer("a", ran), timer("b", ran, dies)], given(app))
    app.clock.move(minutes=1)
    await run_due([timer("a", ran)], given(app))

    assert ran.count("a") == 2
    await app.aclose()
