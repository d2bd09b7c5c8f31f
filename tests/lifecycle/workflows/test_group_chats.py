"""Agents that talk to one another: each time one speaks is a run, and whoever dies meanwhile, nothing is lost."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from kernel.tables import Row, Upsert, Write
from lifecycle.conversations.run import Run
from lifecycle.specs.workflow import WorkflowSpec
from lifecycle.workflows.workflow_run import WorkflowRun
from tests.lifecycle.app import abandon
from tests.lifecycle.doubles import Fate, FatefulTables, make_services
from tests.lifecycle.workflows.world import WS, World

TALK: Mapping[str, Any] = {"name": "talk", "group_chat": ["ann", "bob"], "max_rounds": 3, "prompt": "About {input}."}
LED: Mapping[str, Any] = {"name": "led", "group_chat": ["ann", "bob"], "manager": "lead", "max_rounds": 4}


async def _world(step: Mapping[str, Any], *, quick: bool = True) -> World:
    world = World((await World.begun([{"name": "x", "agent": "bot"}])).app, quick)
    for name in ("ann", "bob", "lead"):
        await world.agent(name, description=f"what {name} is for", simulate={"reply": f"{name} speaking"})
    await world.put([step, {"name": "last", "agent": "bot", "prompt": f"{{steps.{step['name']}.answer}}"}])
    return world


def _spoke(run: WorkflowRun, name: str = "talk") -> list[str]:
    return [one.agent for one in run.step(name).tries]


def _leads(run: Run) -> str:
    """Say what a manager says: who speaks next is bob, until he has."""
    if run.agent != "lead":
        return f"{run.agent} has looked"
    if "pure JSON" not in run.query:
        return "So it is." if "bob has looked" in run.query else "My plan."
    done = "bob has looked" in run.query
    said = {
        "is_request_satisfied": done,
        "is_in_loop": False,
        "is_progress_being_made": True,
        "next_speaker": "bob",
        "instruction_or_question": "Look.",
    }
    return json.dumps({field: {"reason": "so", "answer": value} for field, value in said.items()})


async def _chat_rows(world: World) -> list[Row]:
    return [row for row in await world.rows("workflowruns") if row.key.startswith("chat!")]


async def test_agents_take_turns_and_each_is_told_what_was_said() -> None:
    """Over the whole app, with runs, sessions, facts and costs of their own; the last says the step's answer."""
    world = await _world(TALK, quick=False)
    run = await world.start("tea")
    await world.pump()
    run = await world.get(run.id)
    runs = {one.id: one for one in await world.child_runs(run.id)}
    asked = [runs[one.run_id].query for one in run.step("talk").tries]

    assert (run.state, _spoke(run)) == ("succeeded", ["ann", "bob", "ann"])
    assert asked == [
        "About tea.",
        "About tea.\n\nann: ann speaking",
        "About tea.\n\nann: ann speaking\n\nbob: bob speaking",
    ]
    assert runs[run.step("last").tries[0].run_id].query == "ann speaking"
    assert run.spend.cost_micro_usd == sum(one.spend.cost_micro_usd for one in runs.values()) > 0
    started = [event.data for event in await world.events(run.id) if event.name == "workflow.step_started"]
    assert [each["agent"] for each in started if each["step"] == "talk"] == ["ann", "bob", "ann"]
    assert await _chat_rows(world) == []


async def test_a_manager_plans_says_who_speaks_and_answers() -> None:
    """As Agent Framework's Magentic orchestration has it; its answer is the step's."""
    world = await _world(LED)
    world.says = _leads
    run = await world.start("the bike")
    await world.pump()
    run = await world.get(run.id)
    runs = {one.id: one for one in await world.child_runs(run.id)}

    assert run.state == "succeeded"
    assert _spoke(run, "led") == ["lead", "lead", "lead", "bob", "lead", "lead"]
    assert "what bob is for" in runs[run.step("led").tries[1].run_id].query
    assert runs[run.step("last").tries[0].run_id].query == "So it is."


async def test_a_manager_that_comes_to_no_answer_fails_its_step() -> None:
    """At the limit of rounds, and not with whatever was said last."""
    world = await _world(LED)
    world.says = lambda run: _leads(run).replace("has looked", "is lost")
    run = await world.start("the bike")
    await world.pump()
    run = await world.get(run.id)

    assert (run.state, run.failed_step, run.step("led").code) == ("failed", "led", "group_chat_limit")


class ChatWrites(FatefulTables):
    """Tables of which only the commits of workflow runs and their checkpoints are effects."""

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        if table == "workflowruns":
            return await super().commit(table, writes)
        self.fate.alive()
        return await self.inner.commit(table, writes)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_group_chat_survives_its_worker_dying_at_any_write_of_it(after: bool) -> None:
    """While somebody is waited for nobody holds anything: whoever comes next goes on from the checkpoint."""
    world = await _world({**TALK, "max_rounds": 2})
    await world.put([{**TALK, "max_rounds": 2}])
    number = 0
    for number in itertools.count(1):
        fate, run = Fate(number, after), await world.start()
        dying = make_services(ChatWrites(world.app.tables, fate), world.app.clock, **world.app.settings)
        await world.pump(lambda fate=fate, dying=dying: world.app.services if fate.dead else dying)
        await abandon(dying)
        await world.sweep()
        run = await world.finish(run.id)
        runs = {one.id: one.query for one in await world.child_runs(run.id)}
        assert (run.state, run.outbox, _spoke(run)) == ("succeeded", (), ["ann", "bob"])
        assert [runs.pop(one.run_id) for one in run.step("talk").tries] == [
            "About tea.",
            "About tea.\n\nann: about About tea.",
        ]
        assert not runs, "each turn is one run"
        assert await _chat_rows(world) == []
        if not fate.dead:
            break
    assert number > 8, "both ends, who speaks next, the checkpoints on the way, and what was done"


async def test_each_turn_may_be_taken_on_by_another_worker() -> None:
    """All processes end after every message: the checkpoints in the table are all that is left."""
    world = await _world(LED)
    world.says = _leads
    run = await world.start("the bike")
    kept: list[int] = []
    while world.app.queue.sent:
        worker = world.app.worker(Fate())
        await world.deliver(world.app.queue.sent.pop(0), worker)
        await abandon(worker)
        kept.append(len(await _chat_rows(world)))

    assert (await world.get(run.id)).state == "succeeded"
    assert max(kept) > 2
    assert kept[-1] == 0


async def test_a_checkpoint_that_cannot_be_read_costs_nothing() -> None:
    """As after an upgrade of the framework: what was answered is given again, and nobody is asked twice."""
    world = await _world(TALK)
    run = await world.start("tea")
    for _ in range(2):
        await world.deliver(world.app.queue.sent.pop(0))
    for row in await _chat_rows(world):
        await world.app.tables.commit("workflowruns", [Upsert(Row(row.partition, row.key, {"text": "no JSON"}))])
    await world.pump()

    run = await world.get(run.id)
    assert (run.state, _spoke(run)) == ("succeeded", ["ann", "bob", "ann"])


async def test_who_fails_is_asked_again_and_nobody_else() -> None:
    """As often as `retries` says, each time anew; then the step has failed."""
    world = await _world({**TALK, "retries": 1}, quick=False)
    await world.agent("bob", simulate={"fail_first": 100, "fail_with": "rejected"})
    run = await world.start("tea")
    await world.pump()
    run = await world.get(run.id)

    assert (run.state, run.failed_step) == ("failed", "talk")
    assert [(one.agent, one.state.value) for one in run.step("talk").tries] == [
        ("ann", "succeeded"),
        ("bob", "failed"),
        ("bob", "failed"),
    ]
    assert await _chat_rows(world) == []


async def test_cancelling_ends_a_group_chat_and_erasing_takes_what_was_said() -> None:
    """Nobody is asked any more, and no checkpoint is left."""
    world = await _world(TALK)
    cancelled, erased = await world.start("tea"), await world.start("coffee")
    for _ in range(2):
        await world.deliver(world.app.queue.sent.pop(0))
    left = await _chat_rows(world)
    await world.engine().cancel(WS, cancelled.id, world.app.signals, world.app.queue.send)
    await world.engine().erase(WS, erased.id)
    await world.pump()
    await world.sweep()

    assert left
    for ident in (cancelled.id, erased.id):
        run = await world.get(ident)
        assert (run.state, run.step("talk").state) == ("cancelled", "cancelled")
        assert len(run.step("talk").tries) <= 2
    assert await _chat_rows(world) == []


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ({"group_chat": ["ann"]}, "at least 2"),
        ({"group_chat": ["ann", "ann"]}, "once"),
        ({"group_chat": ["ann", "bob"], "manager": "ann"}, "manager"),
        ({"group_chat": ["ann", "bob"], "max_rounds": 0}, "greater than or equal to 1"),
        ({"group_chat": ["ann", "bob"], "prompt": "{steps.later.answer}"}, "which does not exist"),
    ],
)
def test_what_is_no_group_chat_is_refused(step: Mapping[str, Any], why: str) -> None:
    """With the reason."""
    with pytest.raises(ValidationError, match=why):
        WorkflowSpec.model_validate({"steps": [{"name": "talk", **step}]})


def test_everybody_in_a_group_chat_must_be_there() -> None:
    """The place of each is told where there is no such agent."""
    agents = WorkflowSpec.model_validate({"steps": [LED]}).agents
    assert agents == {"lead": "/steps/0/manager", "ann": "/steps/0/group_chat/0", "bob": "/steps/0/group_chat/1"}
