"""Steps that a team is asked: by a member with room, which can be a person; each once, whatever died."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from kernel.errors import InvalidInput
from lifecycle.conversations.run import Run
from lifecycle.specs.team import Team
from lifecycle.specs.workflow import WorkflowSpec
from lifecycle.teams.person_actions import Caller
from tests.lifecycle.doubles import Fate
from tests.lifecycle.workflows.world import WS, World

ANN = Caller("ann@example.com")
PERSON = {"name": "person", "condition": "keyword_detected", "parameters": {"keywords": ["decide"]}, "target": "people"}
MEMBERS: Sequence[Mapping[str, Any]] = (
    {"name": "front", "agent": "bot", "role": "primary", "max_workload": 1, "handoff_triggers": [PERSON]},
    {"name": "numbers", "agent": "counter", "capabilities": ["count"], "max_workload": 1},
    {"name": "people", "people": ["ann@example.com"], "specialization": "human"},
)
STEPS: Sequence[Mapping[str, Any]] = (
    {"name": "both", "parallel": [
        {"name": "facts", "agent": "bot", "prompt": "facts of {input}"},
        {"name": "figures", "agent": "team:desk", "prompt": "count {input}"},
    ]},
    {"name": "verdict", "agent": "team:desk", "prompt": "decide on {steps.both.answer}"},
)  # fmt: skip


async def _world(steps: Sequence[Mapping[str, Any]] = STEPS) -> World:
    world = await World.begun(({"name": "only", "agent": "bot"},))
    await world.agent("counter", simulate={"reply": "two"})
    await world.app.services.teams.store.put(WS, "desk", Team.model_validate({"members": MEMBERS}))
    await world.put(steps)
    return world


async def _waiting(world: World, ident: str) -> Run:
    (run,) = [one for one in await world.child_runs(ident) if one.state == "waiting"]
    return run


async def test_a_step_is_asked_of_a_team_and_answered_by_an_agent_or_a_person() -> None:
    """Routed as any conversation, in a session that ends with the answer, so that the next one has room."""
    world = await _world()
    for _ in range(2):
        run = await world.start("tea")
        await world.pump()
        asked = await _waiting(world, run.id)
        await world.app.services.teams.people.reply(WS, asked.session_id, ANN, "Buy it.")
        await world.engine().deliver(world.app.signals, world.app.queue.send)
        run = await world.check_ended_once(run.id)
        by_step = {step.name: step.tries[-1].agent for step in run.steps if step.tries}
        figures = next(one for one in await world.child_runs(run.id) if one.query == "count tea")
        assert (await world.answer(run), figures.agent, figures.answer) == ("Buy it.", "counter", "two")
        assert by_step == {"facts": "bot", "figures": "team:desk", "verdict": "team:desk"}
        assert asked.team is not None
        assert await world.app.services.teams.seats.exact(WS, "desk") == []


async def test_a_workflow_run_that_waits_for_a_person_is_cancelled_with_the_step() -> None:
    """Then nothing of it is in the inbox."""
    world = await _world()
    run = await world.start("tea")
    await world.pump()
    asked = await _waiting(world, run.id)
    await world.engine().cancel(WS, run.id, world.app.signals, world.app.queue.send)
    run = await world.finish(run.id)
    stored = await world.app.services.conversations.store.run(WS, asked.session_id, asked.id)
    assert stored is not None
    assert (run.state, stored.state) == ("cancelled", "cancelled")
    assert (await world.app.services.teams.inbox.page(WS, 9))[0] == []
    assert await world.app.services.teams.seats.exact(WS, "desk") == []


async def test_a_team_is_a_fallback() -> None:
    """For an agent that fails: a colleague answers."""
    world = await _world()
    await world.agent("broken", simulate={"fail_first": 100, "fail_with": "rejected"})
    await world.put(({"name": "only", "agent": "broken", "prompt": "count {input}", "fallback": "team:desk"},))
    run = await world.start("tea")
    await world.pump()
    run = await world.get(run.id)
    assert (run.state, await world.answer(run)) == ("succeeded", "two")
    assert [one.agent for one in run.steps[0].tries] == ["broken", "team:desk"]


async def test_each_step_of_a_team_runs_once_whatever_died() -> None:
    """One run for each step, one seat at most, and none at the end."""
    steps = ({"name": "figures", "agent": "team:desk", "prompt": "count {input}"},)
    for at in range(1, 40, 3):
        world = await _world(steps)
        fate = Fate(at, after=True)
        run = await world.start("tea")
        dying = [world.app.worker(fate)]
        await world.pump(lambda: dying.pop() if dying else world.app.services)  # noqa: B023 - used in this round
        await world.finish(run.id)
        await world.check_ended_once(run.id)
        assert await world.app.services.teams.seats.exact(WS, "desk") == [], at
        if not fate.struck:
            break


async def test_a_team_that_there_is_not_is_refused_with_its_place() -> None:
    """As an agent is; a team's name alone is an agent's."""
    world = await _world()
    wrong = WorkflowSpec.model_validate({"steps": [{"name": "one", "agent": "team:nobody"}]})
    with pytest.raises(InvalidInput) as caught:
        await world.app.services.workflows.definitions.put(WS, "other", wrong)
    assert (caught.value.code, list(caught.value.fields)) == ("unknown_team", ["/steps/0/agent"])
