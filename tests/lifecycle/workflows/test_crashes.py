"""Workers that die at any write, or all the time: every workflow run ends once, and every step of it is one run."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from bootstrap.services import Services
from kernel.errors import AppError, Unavailable
from kernel.ids import new_id
from kernel.tables import Write
from lifecycle.conversations.run_request import Send
from lifecycle.workflows.request import WorkflowRequest
from tests.lifecycle.app import abandon
from tests.lifecycle.doubles import Crash, Fate, MemoryTables, RepeatingTables
from tests.lifecycle.workflows.world import World, answered

JOINED = (
    {
        "name": "both",
        "parallel": [{"name": "left", "agent": "bot"}, {"name": "right", "agent": "bot"}],
        "aggregator": {"agent": "bot", "prompt": "{steps.left.answer} and {steps.right.answer}"},
    },
    {"name": "last", "agent": "bot", "when": "steps.both.answer == ''"},
)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_workflow_run_survives_its_worker_dying_at_any_write(after: bool) -> None:
    """Whoever comes next, and the timer, find what was decided and what is yet to be done."""
    world = await World.begun(JOINED, quick=True)
    number = 0
    for number in itertools.count(1):
        ident, fate = new_id(), Fate(number, after)
        dying = world.app.worker(fate, model=Fate())
        with contextlib.suppress(Crash):
            await world.start(ident=ident, worker=dying, user_id=ident)
            await world.pump(lambda fate=fate, dying=dying: world.app.services if fate.dead else dying)
        await abandon(dying)
        if not fate.dead:
            break
        await world.start(ident=ident, user_id=ident)
        await world.finish(ident)

        await world.check_ended_once(ident)
        await world.forget_events()
    # 38 on a quiet machine; on a busy one more of them are made together.
    assert number > 20, "three runs submitted and recorded, and the workflow run between them"


@pytest.mark.parametrize("after", [False, True], ids=["refused", "in doubt"])
async def test_a_workflow_run_survives_its_storage_failing_at_any_write(after: bool) -> None:
    """A write fails, or took place although its answer was lost."""
    world = await World.begun(JOINED, quick=True)
    number = 0
    for number in itertools.count(1):
        ident, fate = new_id(), Fate(number, after, Unavailable)
        failing = world.app.worker(fate, model=Fate())
        for _ in range(3):
            with contextlib.suppress(Unavailable):
                await world.start(ident=ident, worker=failing, user_id=ident)
                break
        await world.pump(lambda failing=failing: failing)
        await world.finish(ident)
        await abandon(failing)

        await world.check_ended_once(ident)
        await world.forget_events()
        if not fate.struck:
            break
    assert number > 20


async def test_a_broker_that_takes_nothing_is_waited_for() -> None:
    """The workflow run is accepted, and begun by the timer; the step's run is the one that could not be queued."""
    world = await World.begun(JOINED, quick=True)
    world.app.queue.refuse = True
    run = await world.start()
    await world.sweep()
    assert [one.never_queued for one in await world.child_runs(run.id)] == [True]
    world.app.queue.refuse = False
    await world.finish(run.id)

    await world.check_ended_once(run.id)


async def test_ends_that_nobody_told_of_are_found_by_the_timer() -> None:
    """Each worker dies when its run has ended, and its message is lost with it."""
    world = await World.begun(JOINED, quick=True)
    run = await world.start()
    for expected in (2, 1):
        assert len(world.app.queue.sent) == expected
        while world.app.queue.sent:
            await answered(world.app.services, world.app.queue.sent.pop())
        await world.sweep()

    assert (await world.get(run.id)).state == "succeeded"


async def test_a_thousand_workflow_runs_whose_workers_are_killed() -> None:
    """Eight workers at a time take messages of 1,000 workflow runs; each dies after some writes, whatever it is at."""
    steps = [
        {"name": "first", "agent": "bot"},
        {"name": "second", "agent": "bot", "prompt": "{steps.first.answer}", "when": "input.endsWith('7')"},
    ]
    world = await World.begun(steps, quick=True)
    chance, queue, killed = random.Random(14), world.app.queue, 0
    idents = [new_id() for _ in range(1000)]
    left = list(enumerate(idents))

    async def work(fate: Fate, worker: Services) -> None:
        while left or queue.sent:
            if left and chance.random() < 0.6:
                number, ident = left.pop()
                try:
                    await world.start(str(number), ident, worker=worker)
                except Crash:
                    left.append((number, ident))  # whoever asked asks again
                    raise
            elif queue.sent:
                message = queue.sent.pop(0)
                try:
                    await world.deliver(message, worker)
                except (Crash, AppError):
                    queue.sent.append(message)
                    if fate.dead:
                        raise

    async def workers() -> None:
        nonlocal killed
        while left or queue.sent:
            fate = Fate(chance.randrange(20, 900), after=chance.random() < 0.5)
            worker = world.app.worker(fate, model=Fate())
            try:
                await work(fate, worker)
            except Crash:
                killed += 1
            await abandon(worker)

    await asyncio.gather(*(workers() for _ in range(8)))
    for _ in range(4):
        await world.sweep()
        await world.pump()

    assert killed >= 15
    runs = [await world.get(ident) for ident in idents]
    assert Counter(run.state.value for run in runs) == {"succeeded": 1000}
    assert {run.outbox for run in runs} == {()}
    assert all(len(step.tries) <= 1 for run in runs for step in run.steps)
    expected = {one.run_id for run in runs for step in run.steps for one in step.tries}
    assert len(expected) == 1100
    assert {row.key[3:] for row in await world.rows("runs") if row.key.startswith("id!")} == expected
    ended = [row for row in await world.rows("conversations") if row.key.startswith("run!")]
    assert Counter(row.text("state") for row in ended) == {"succeeded": 1100}
    facts = [row for row in await world.rows("facts") if row.key.startswith("fact!")]
    assert len(facts) == 1100, "each was run once, and that is recorded once"
    ends = Counter(event.data["workflow_run_id"] for event in await world.events("", "workflow.ended"))
    assert ends == dict.fromkeys(idents, 1)
    assert [row for row in await world.rows("due") if row.partition.startswith("workflow!")] == []


class Repeating(RepeatingTables):
    """Repeats a commit of the table of workflow runs, as a client does whose answer was lost."""

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        own = table == "workflowruns"
        return await super().commit(table, writes) if own else await MemoryTables.commit(self, table, writes)


async def test_a_commit_that_took_effect_unnoticed_is_ones_own() -> None:
    """Whichever commit of a workflow run is repeated, and refused by what its first try did: all happens once."""
    world = await World.begun(JOINED, tables := Repeating(), quick=True)
    number = 0
    for number in itertools.count(1):
        tables.at, tables.count = number, 0
        ident, request = new_id(), WorkflowRequest(input="tea", user_id=f"user-{number}")
        started, created = await world.engine().start(
            "default", "flow", ident, request, world.app.signals, _send(world)
        )
        await world.pump()
        struck, tables.at = tables.count >= number, 0
        await world.check_ended_once(started.id)
        assert created, number
        await world.forget_events()
        if not struck:
            break
    assert number > 6


def _send(world: World) -> Send:
    return world.app.queue.send
