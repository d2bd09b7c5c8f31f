"""Many requests for one session at once: each is accepted, once, and answered in the order of acceptance."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from adapters.memory_tables import MemoryTables
from kernel.errors import Unavailable
from kernel.ids import new_id
from kernel.tables import Row, Write
from lifecycle.conversations.run import RunState
from lifecycle.conversations.run_request import RunRequest
from lifecycle.conversations.session import Limits
from lifecycle.sessions.start import SessionOptions
from tests.lifecycle.app import App
from tests.lifecycle.doubles import CountingTables, spec

MANY = 80


class SlowTables(CountingTables):
    """Tables over a network: every request takes a moment, which lets others in between."""

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        await asyncio.sleep(random.uniform(0.001, 0.003))
        return await super().get(table, partition, key)

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        await asyncio.sleep(random.uniform(0.001, 0.003))
        return await super().commit(table, writes)


async def submitted(apps: Sequence[App], count: int, **more: Any) -> list[Any]:
    """Submit so many runs at once, spread over the processes."""
    apps[0].queue.sent.clear()
    tasks: list[Any] = []
    for n in range(count):
        app = apps[n % len(apps)]
        tasks.append(app.submit(f"Q{n}", run_id=new_id(), **more))
    return list(await asyncio.gather(*tasks))


async def processes(count: int, tables: MemoryTables) -> list[App]:
    apps = [App(tables) for _ in range(count)]
    await apps[0].declare()
    for app in apps[1:]:
        app.queue = apps[0].queue
    await apps[0].submit(session_id="chat")
    return apps


@pytest.mark.parametrize("count", [1, 4])
async def test_all_are_accepted_in_one_order(count: int) -> None:
    """From one process and from four, with a number each."""
    apps = await processes(count, SlowTables())
    accepted = await submitted(apps, MANY, session_id="chat")

    assert sorted(each.run.number for each in accepted) == list(range(2, MANY + 2))
    _, session = await apps[0].stored(accepted[0].run)
    assert (session.runs, session.pending, session.events) == (MANY + 1, MANY + 1, MANY + 2)


async def test_one_session_takes_no_more_writes_than_many() -> None:
    """What is submitted at once is committed together, instead of each failing until all others are through."""
    tables = SlowTables()
    apps = await processes(1, tables)
    tables.reset()
    await submitted(apps, MANY, session_id="chat")

    assert tables.operations["commit conversations"] <= MANY // 4


async def test_answers_come_in_the_order_of_acceptance() -> None:
    """However the messages were sent: a run whose message comes too early has the earlier ones run first."""
    apps = await processes(2, SlowTables())
    accepted = await submitted(apps, 12, session_id="chat")
    messages = list(apps[0].queue.sent)
    random.Random(7).shuffle(messages)
    for message in messages:
        await apps[0].process(message)
    turns = await apps[0].turns(accepted[0].run)
    numbers = {each.run.id: each.run.number for each in accepted}
    answered = [numbers[turn.run_id] for turn in turns if turn.role == "assistant" and turn.run_id in numbers]

    assert answered == sorted(numbers.values())


async def test_a_refused_one_spoils_no_other() -> None:
    """What one of those committed together is refused for is its caller's alone."""
    apps = await processes(1, SlowTables())
    wrong = RunRequest(query="?", session_id="chat", priority="high")  # type: ignore[arg-type]
    intake, app = apps[0].services.runs.submission, apps[0]
    results = await asyncio.gather(
        *(app.submit(f"Q{n}", session_id="chat") for n in range(5)),
        intake.submit("default", "bot", wrong, new_id(), app.signals, app.queue.send),
        *(app.submit(f"R{n}", session_id="chat") for n in range(5)),
        return_exceptions=True,
    )

    assert [isinstance(each, BaseException) for each in results] == [False] * 5 + [True] + [False] * 5


async def test_those_that_find_no_room_spoil_none_that_do() -> None:
    """Of twelve at once in a session with room for five, five are accepted, and each other is refused by itself."""
    app = App(SlowTables())
    await app.declare()
    options = SessionOptions(limits=Limits(max_turns=10))
    await app.services.sessions.start.start("default", "bot", "chat", options)
    results = await asyncio.gather(*(app.submit(f"Q{n}", session_id="chat") for n in range(12)), return_exceptions=True)
    refused = [each for each in results if isinstance(each, BaseException)]

    assert len(refused) == 7
    assert [getattr(each, "code", each) for each in refused] == ["session_full"] * 7
    assert len({id(each) for each in refused}) == 7, "an error of its own each"


async def test_a_send_that_fails_late_leaves_a_queued_run_alone() -> None:
    """The first request hangs, the same key again gets its 202, then the first one's send fails."""
    app, key, hung = App(), new_id(), asyncio.Event()
    await app.declare()

    async def hangs(_: object, at: object = None) -> None:
        await hung.wait()
        raise Unavailable(code="queue_unavailable")

    request = RunRequest(query="2 + 3", session_id="chat")
    first = asyncio.create_task(app.services.runs.submission.submit("default", "bot", request, key, app.signals, hangs))
    while (await app.services.conversations.store.load("default", "chat", key)).run is None:  # noqa: ASYNC110 - no event tells it
        await asyncio.sleep(0)
    await app.submit(run_id=key, session_id="chat")
    hung.set()
    with pytest.raises(Unavailable):
        await first
    run = await app.services.runs.queries.get("default", key)

    assert (run.state, run.error) == (RunState.QUEUED, None)
    await app.process(app.queue.sent[-1])
    await app.check_answered_once(run)


@pytest.mark.parametrize("how", ["attempted", "resumed"])
async def test_a_send_that_failed_though_the_message_came_leaves_its_run_alone(how: str) -> None:
    """Only the broker's answer was lost: by then the run is queued again, by a retry or by its session's resumption."""
    app, key = App(), new_id()
    await app.declare(declared=spec(simulate={"fail_first": 1}) if how == "attempted" else spec())
    pause = app.services.conversations.pause

    async def loses_the_answer(submission: Any, at: object = None) -> None:
        await app.queue.send(submission)
        if how == "attempted":
            with pytest.raises(Unavailable):
                await app.process(submission)
        else:
            await pause.pause("default", "chat")
            await app.process(submission)
            await pause.resume("default", "chat", app.queue.send)
        raise Unavailable(code="queue_unavailable")

    request = RunRequest(query="2 + 3", session_id="chat")
    with pytest.raises(Unavailable):
        await app.services.runs.submission.submit("default", "bot", request, key, app.signals, loses_the_answer)
    run = await app.services.runs.queries.get("default", key)

    assert run.state is RunState.QUEUED
    assert (run.attempt, run.resumption) == ((1, 0) if how == "attempted" else (0, 1))
    assert run.error is None or run.error.code != "not_queued"
    await app.process(app.queue.sent[-1])
    assert (await app.stored(run))[0].state is RunState.SUCCEEDED
    await app.aclose()


async def test_a_run_none_of_whose_messages_was_accepted_is_not_queued() -> None:
    """The last request that fails says so; asking again makes it a run like any other, without that error."""
    app, key = App(), new_id()
    await app.declare()
    app.queue.refuse = True
    results = await asyncio.gather(*(app.submit(run_id=key) for _ in range(4)), return_exceptions=True)
    run = await app.services.runs.queries.get("default", key)
    app.queue.refuse = False
    again = (await app.submit(run_id=key)).run

    assert all(isinstance(each, Unavailable) for each in results)
    assert (run.state, run.error and run.error.code) == (RunState.FAILED, "not_queued")
    assert (again.state, again.error) == (RunState.QUEUED, None)
