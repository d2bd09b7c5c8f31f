"""Runs whose states are pushed: to each place that is set, in order, and never twice under two ids."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
from a2a.types import StreamResponse, TaskState
from aiohttp import web
from google.protobuf.json_format import ParseDict

from kernel.errors import Conflict, InvalidInput
from lifecycle.callbacks.target_changes import remove_push, set_push
from lifecycle.callbacks.targets import MOST_PUSHES
from lifecycle.conversations.run import Attempt, Run, RunState
from lifecycle.conversations.run_callbacks import A2A_OLD, Callback, Push, RunEnds, reports_of
from llmops.budgets.budget_rules import Budget, Limit, parse_scope
from tests.lifecycle.app import App, Gate, abandon
from tests.lifecycle.doubles import CountingTables, Crash, Fate, spec
from tests.llmops.notifications.support import Received, Receiver

SETTINGS: dict[str, Any] = {"WEBHOOKS_ALLOW_PRIVATE": "true", "BUDGET_WAIT_S": 0.05}


async def asking() -> App:
    """Return an app whose agent's next run waits for approval."""
    app = App(**SETTINGS)
    await app.declare(declared=spec(ladder=[{"at": 50, "do": "ask"}]))
    budget = Budget(parse_scope("agent:bot"), (Limit("calls", "total", 2),))
    await app.services.budgets.store.put("default", budget, None)
    await app.ask("first")
    return app


async def pushed(app: App) -> None:
    await app.services.conversations.callbacks.aclose()


async def rounds(app: App, number: int = 2) -> None:
    """Have the timer report what is left, so many times."""
    for _ in range(number):
        app.clock.move(minutes=5)
        await app.services.conversations.callbacks.deliver()


def state(received: Received) -> str:
    """Return the state that a notification of version 1.0 tells, as the SDK's own types read it."""
    told = ParseDict(received.json(), StreamResponse())
    status = told.task.status if told.HasField("task") else told.status_update.status
    return TaskState.Name(status.state).removeprefix("TASK_STATE_").lower()


async def test_work_is_pushed_and_then_the_answer() -> None:
    """A notification each, under an id of its own, with the token that the receiver knows the sender by."""
    app = App(**SETTINGS)
    await app.declare()
    gate = Gate()
    worker = app.worker(gate=gate)
    async with Receiver() as receiver:
        await app.submit(callback=Callback(pushes=(Push(receiver.url, token="t"),)))
        working = asyncio.create_task(app.process(app.queue.sent[-1], worker=worker))
        await gate.entered.wait()
        await worker.conversations.callbacks.aclose()
        gate.open.set()
        run = await working
        await worker.conversations.callbacks.aclose()
        await rounds(app)

    first, last = receiver.received
    assert (state(first), state(last)) == ("working", "completed")
    assert last.json()["task"]["artifacts"][0]["parts"][0]["text"] == run.answer
    assert first.json()["statusUpdate"]["taskId"] == run.id
    assert first.headers["webhook-id"] != last.headers["webhook-id"]
    assert {each.headers["x-a2a-notification-token"] for each in receiver.received} == {"t"}
    await app.aclose()


async def test_waiting_is_pushed_to_each_place_in_its_version_s_form() -> None:
    """With why it waits; then the end. What became of the end is listed for each place."""
    app = await asking()
    async with Receiver() as new, Receiver() as old:
        places = (Push(new.url), Push(old.url, "second", format=A2A_OLD))
        run = (await app.submit("asks", callback=Callback(pushes=places))).run
        await app.process(app.queue.sent[-1])
        await pushed(app)
        await app.services.runs.resume.resume("default", run.id, app.queue.send, "ops")
        await app.process(app.queue.sent[-1])
        await pushed(app)
        await rounds(app)

    waiting, done = [each for each in new.received if state(each) != "working"]
    assert [state(waiting), state(done)] == ["input_required", "completed"]
    assert waiting.json()["statusUpdate"]["status"]["message"]["metadata"] == {"code": "budget_approval_needed"}
    tasks = [each.json() for each in old.received if each.json()["status"]["state"] != "working"]
    assert [(each["kind"], each["status"]["state"]) for each in tasks] == [
        ("task", "input-required"),
        ("task", "completed"),
    ]
    listed, _ = await app.services.conversations.callback_records.list("default", 10)
    assert [(each.run_id, each.state.value, each.attempts) for each in listed] == [(run.id, "delivered", 1)] * 2
    await app.aclose()


async def test_a_place_that_fails_is_tried_again_and_the_others_are_not() -> None:
    """A state that the run has left since is not told any more; its end is."""
    app = await asking()
    async with Receiver([web.Response(status=500) for _ in range(3)]) as failing, Receiver() as other:
        places = (Push(failing.url), Push(other.url, "other"))
        run = (await app.submit("asks", callback=Callback(pushes=places))).run
        await app.process(app.queue.sent[-1])
        await pushed(app)
        await rounds(app, 1)
        await app.services.runs.resume.resume("default", run.id, app.queue.send, "ops")
        await app.process(app.queue.sent[-1])
        await pushed(app)
        await rounds(app, 4)
        told = [state(each) for each in other.received if state(each) != "working"]
        number = len(other.received)
        tried = [(state(each), each.headers["webhook-id"]) for each in failing.received]
        await app.services.conversations.callbacks.redeliver(await current(app, run))
        await rounds(app, 1)

        assert len(other.received) == number + 1
    assert told == ["input_required", "completed"]
    assert [name for name, _ in tried][-1] == "completed"
    assert len({ident for name, ident in tried if name == "completed"}) == 1
    assert "input_required" not in [name for name, _ in tried][tried.index(tried[-1]) :]
    await app.aclose()


async def test_pushes_survive_a_worker_dying_after_any_write() -> None:
    """Both places are told that the run waits, and how it ended, under one id each."""
    number = 0
    for number in itertools.count(1):
        app = await asking()
        async with Receiver() as receiver:
            places = (Push(f"{receiver.url}/1"), Push(f"{receiver.url}/2", "second"))
            run = (await app.submit("asks", callback=Callback(pushes=places))).run
            fate = Fate(number, after=True)
            dying = app.worker(fate, model=Fate())
            with contextlib.suppress(Crash):
                await app.process(app.queue.sent[-1], worker=dying)
            with contextlib.suppress(Crash):
                await dying.conversations.callbacks.aclose()
            await abandon(dying)
            app.clock.move(seconds=61)
            await app.process(app.queue.sent[-1])
            await pushed(app)
            await rounds(app)
            await app.services.runs.resume.resume("default", run.id, app.queue.send, "ops")
            await app.process(app.queue.sent[-1])
            await pushed(app)
            await rounds(app)

        idents = defaultdict[tuple[str, str], set[str]](set)
        for each in receiver.received:
            idents[each.path, state(each)].add(each.headers["webhook-id"])
        for path, told in itertools.product(("/hook/1", "/hook/2"), ("input_required", "completed")):
            assert len(idents[path, told]) == 1, (number, path, told)
        assert [each async for each in RunEnds(app.tables).due(app.clock())] == []
        await app.aclose()
        if not fate.struck:
            break
    assert number > 5


async def test_a_state_that_never_came_is_dropped() -> None:
    """What was entered for a commit that failed is forgotten once the run has gone another way."""
    app = App(**SETTINGS)
    await app.declare()
    async with Receiver() as receiver:
        accepted = await app.submit(callback=Callback(pushes=(Push(receiver.url),)))
        queued = await current(app, accepted.run)
        [entry] = reports_of(queued, replace(queued, state=RunState.RUNNING, last=Attempt(1, app.clock())))
        await RunEnds(app.tables).enter([entry])
        assert (entry.ahead(queued), entry.over(queued)) == (True, False)
        await app.services.conversations.callbacks.deliver()
        assert receiver.received == []
        await app.process(app.queue.sent[-1])
        await pushed(app)
        await rounds(app, 3)

    assert [state(each) for each in receiver.received].count("completed") == 1
    assert [each async for each in RunEnds(app.tables).due(app.clock())] == []
    await app.aclose()


async def test_places_are_set_and_removed_one_by_one() -> None:
    """The same id is replaced, others stay, and only so many are taken; none once the run has ended."""
    app = App(**SETTINGS)
    await app.declare()
    store = app.services.conversations.store
    run = (await app.submit()).run
    for number in range(MOST_PUSHES):
        run = await set_push(store, run, Push("https://a.example/1", str(number)))
    run = await set_push(store, run, Push("https://a.example/2", "3"))
    with pytest.raises(Conflict, match="at most"):
        await set_push(store, run, Push("https://a.example/3", "more"))
    run = await remove_push(store, run, "0")
    assert run.input.callback is not None
    assert {push.id: push.url[-1] for push in run.input.callback.pushes} == {str(n): "1" for n in range(1, 10)} | {
        "3": "2"
    }
    for number in range(1, MOST_PUSHES):
        run = await remove_push(store, run, str(number))
    assert run.input.callback is None
    done = await app.process(app.queue.sent[-1])
    with pytest.raises(Conflict, match="ended"):
        await set_push(store, done, Push("https://a.example/1"))
    await app.aclose()


async def test_what_pushes_cost() -> None:
    """A write ahead of the state however many places there are, then two for each to push it."""
    tables = CountingTables()
    app = App(tables, **SETTINGS)
    await app.declare()
    places = tuple(Push("http://127.0.0.1:9/x", str(number)) for number in range(3))
    await app.submit(callback=Callback(pushes=places))
    before = tables.operations["commit callbacks"]
    worker = app.worker(gate=(gate := Gate()))
    working = asyncio.create_task(app.process(app.queue.sent[-1], worker=worker))
    await gate.entered.wait()
    await worker.conversations.callbacks.aclose()

    assert (before, tables.operations["commit callbacks"]) == (0, 1 + 2 * len(places))
    gate.open.set()
    await working
    await worker.conversations.callbacks.aclose()
    await app.aclose()


@pytest.mark.parametrize(
    ("pushes", "place"),
    [
        ((Push("https://a.example"), Push("https://b.example")), "/callback/pushes"),
        (tuple(Push("https://a.example", str(number)) for number in range(MOST_PUSHES + 1)), "/callback/pushes"),
        ((Push("https://a.example", format="a2a-2"),), "/callback/pushes/0/format"),
        ((Push("https://a.example", token="line\nline"),), "/callback/pushes/0"),
        ((Push("https://a.example"), Push("https://10.0.0.1", "2")), "/callback/pushes/1/url"),
        ((Push(""),), "/callback/pushes/0/url"),
    ],
)
async def test_a_place_that_cannot_be_is_refused(pushes: tuple[Push, ...], place: str) -> None:
    """Private addresses, two of one id, too many, and what no header holds; the field is named."""
    with pytest.raises(InvalidInput) as raised:
        await App().services.notifications.targets.check(Callback(pushes=pushes))

    assert list(raised.value.fields) == [place]


async def current(app: App, run: Run) -> Run:
    found, _ = await app.stored(run)
    return found
