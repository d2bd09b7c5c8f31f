"""Plan and apply against a Foundry project, over the real SDKs: what people do in its portal is told exactly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from adapters.memory_tables import MemoryTables
from bootstrap.services import Services
from kernel.errors import Unavailable
from kernel.settings import Settings
from lifecycle.drift.plan_application import PlanStep
from lifecycle.specs.spec import AgentSpec
from tests.contracts.providers.conftest import NOW
from tests.fakes.foundry_server import FakeFoundry

AGENTS = 200


@pytest.fixture
async def services(foundry: FakeFoundry) -> AsyncIterator[Services]:
    """Return services over the fake project, closed afterwards."""
    settings = Settings.of({"FOUNDRY_PROJECT_ENDPOINT": foundry.endpoint})
    services = Services(MemoryTables(), settings, lambda: NOW)
    yield services
    await services.aclose()


async def made(services: Services, count: int) -> list[str]:
    """Declare agents and have them made; return their names."""
    names = [f"agent_{number:03d}" if number % 2 else f"agent-{number:03d}" for number in range(count)]
    free = asyncio.Semaphore(16)

    async def make(name: str) -> None:
        async with free:
            spec = AgentSpec(provider="foundry", model="gpt-5-mini", instructions=f"You are {name}.")
            await services.agents.administration.declare("default", name, spec, services.agents.local_signals())
            await services.agents.administration.prewarm("default", name, services.agents.local_signals())

    await asyncio.gather(*map(make, names))
    return names


async def control(foundry: FakeFoundry, what: str, **told: object) -> None:
    async with httpx2.AsyncClient() as http:
        (await http.post(f"{foundry.url}/fake/{what}", json=told)).raise_for_status()


async def planned(services: Services) -> list[PlanStep]:
    stored = await services.drift.plans.make("default")
    return list(await services.drift.plans.steps(stored, 0, stored.lines or 1))


async def provider_name(services: Services, agent: str) -> str:
    record = (await services.agents.catalog.get("default", agent)).record
    assert record is not None
    assert record.version is not None
    return record.version.name


async def test_one_percent_of_edits_are_exactly_what_the_plan_names(services: Services, foundry: FakeFoundry) -> None:
    """Two of 200 agents are edited in the portal, one with our metadata taken along: the plan has these two lines."""
    names = await made(services, AGENTS)
    assert await planned(services) == []
    for name, keep in ((names[17], False), (names[140], True)):
        edited = await provider_name(services, name)
        await control(foundry, "edit", name=edited, keep_metadata=keep, changes={"instructions": "Be rude."})
    foundry.counts.clear()

    stored = await services.drift.plans.make("default")
    steps = await services.drift.plans.steps(stored, 0, 200)

    told = {step.line.agent: (step.line.kind.value, step.line.action.value) for step in steps}
    assert told == {names[17]: ("changed", "none"), names[140]: ("changed", "none")}
    assert len(steps) == 2
    assert [[each.version for each in step.line.versions] for step in steps] == [["2"], ["2"]]
    assert (stored.summary.counts, stored.summary.unchanged) == ({"changed": 2}, AGENTS - 2)
    # Pages of 100 agents, then each agent's versions; the SDK asks each list once more, for a page after the last.
    assert foundry.counts == {"list_agents": 3, "list_versions": 2 * AGENTS}

    # What people made is theirs: applying leaves all of it where it is, and makes nothing.
    foundry.counts.clear()
    await services.drift.plans.apply("default", stored.id, services.agents.local_signals(), destructive=True)
    assert not foundry.counts.keys() & {"create_version", "delete_version", "delete_agent"}


async def test_everything_at_once_comes_right(services: Services, foundry: FakeFoundry) -> None:
    """Ghost, orphan, tail, lost creation and edit in one project: after applying, only the edit is still told."""
    ghost, orphan, tail, edited = await made(services, 4)
    project = foundry.project
    del project.agents[await provider_name(services, ghost)]
    twin = project.agents[await provider_name(services, tail)].versions["1"]
    project.create_version(twin["name"], {"definition": twin["definition"], "metadata": twin["metadata"]})
    project.edit_in_portal(await provider_name(services, edited), instructions="Be rude.")
    lost = project.agents[await provider_name(services, orphan)].versions["1"]
    metadata = lost["metadata"] | {"maf-agent": "forgotten"}
    project.create_version("forgotten", {"definition": lost["definition"], "metadata": metadata})
    project.create_version("somebodys", {"definition": lost["definition"], "metadata": {}})

    stored = await services.drift.plans.make("default")
    kinds = [
        (s.line.agent, s.line.kind.value, s.line.destructive) for s in await services.drift.plans.steps(stored, 0, 9)
    ]
    await services.drift.plans.apply("default", stored.id, services.agents.local_signals(), destructive=True)
    after = await services.drift.plans.steps(await services.drift.plans.find("default", stored.id), 0, 9)

    expected = {ghost: ("recreate", False), tail: ("duplicate", True), edited: ("changed", False)}
    assert {agent: rest for agent, *rest in kinds} == {
        **{agent: list(rest) for agent, rest in expected.items()},
        "forgotten": ["orphan", True],
    }
    assert len(kinds) == 4
    assert {step.outcome.value for step in after} == {"done", "remark"}
    assert [step.line.agent for step in await planned(services)] == [edited]
    assert "forgotten" not in project.agents
    assert "somebodys" in project.agents
    assert list(project.agents[twin["name"]].versions) == ["1"]


async def test_an_outage_makes_no_plan(services: Services, foundry: FakeFoundry) -> None:
    """When the project answers in part, nothing is taken for gone."""
    await made(services, 3)
    foundry.fail_next("unavailable", on="list_versions", times=20)

    with pytest.raises(Unavailable):
        await services.drift.plans.make("default")
