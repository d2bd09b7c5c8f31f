"""Agents at Foundry hand over by tools that their versions declare."""

from __future__ import annotations

import pytest

from lifecycle.conversations.run_transitions import agents_of
from tests.fakes.foundry_server import FakeFoundry
from tests.lifecycle.doubles import spec
from tests.lifecycle.teams.app import TeamApp, path
from tests.lifecycle.teams.kit import TECH, TRIAGE, changed, team

QUERY = '/tool handoff_to_tech {"reason": "no signal", "facts": ["router 7"], "open_questions": ["since when?"]}'
PLAIN = changed(TRIAGE, handoff_triggers=[])


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_at_foundry_hands_over_by_a_tool_of_its_version(stream: bool) -> None:
    """The tool is part of the version, and of no request; the same run is answered by the next agent, there too."""
    async with FakeFoundry() as fake:
        app = TeamApp(FOUNDRY_PROJECT_ENDPOINT=fake.endpoint)
        front = spec(provider="foundry", tools=("handoff_to_tech",))
        await app.found(team(PLAIN, TECH), {"triage": front, "tech": spec(provider="foundry")})
        run = await app.answered(QUERY, stream=stream)
        more = await app.answered("and now?", session_id=run.session_id)
        versions, requests = fake.bodies("create_version"), fake.bodies("create_response")
        _, session = await app.stored(run)
        facts = [
            each.fact.ending.value
            for agent in agents_of(run)
            for each in await app.services.spend.facts.of_run("default", agent, run.id, run.created_at, app.clock())
        ]
        await app.aclose()
        await app.services.aclose()

    declared = [[tool["name"] for tool in each["definition"].get("tools") or ()] for each in versions]
    assert sorted(declared) == [[], ["handoff_to_tech"]]
    assert all("tools" not in body for body in requests)
    assert (run.state, run.agent, path(run)) == ("succeeded", "tech", ["tech"])
    assert run.team is not None
    assert (run.team.hops[0].by, run.team.hops[0].reason) == ("model", "no signal")
    assert session.assignment is not None
    assert session.assignment.note is not None
    assert (session.assignment.note.facts, session.assignment.note.questions) == (("router 7",), ("since when?",))
    assert facts == ["handed_over", "succeeded"]
    assert requests[0]["conversation"] != requests[1]["conversation"], "the next agent has a conversation of its own"
    assert (more.answer or "").endswith("the last: 'and now?'")


async def test_a_version_without_the_tool_does_not_hand_over() -> None:
    """What its version does not declare, a model at Foundry cannot call."""
    async with FakeFoundry() as fake:
        app = TeamApp(FOUNDRY_PROJECT_ENDPOINT=fake.endpoint)
        await app.found(team(PLAIN, TECH), {"triage": spec(provider="foundry")})
        run = await app.answered(QUERY)
        await app.aclose()
        await app.services.aclose()

    assert (run.state, run.agent, path(run)) == ("succeeded", "triage", [])
