"""An agent's life at a Foundry project, through the real SDK: put away, brought back, deleted, verified, in trouble."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.memory_tables import MemoryTables
from adapters.providers.foundry import FoundryProvider, Project
from lifecycle.registry.actor import ActorState, AgentActor
from lifecycle.registry.actor_operations import (
    Ensure,
    KeepVersion,
    Operation,
    Remove,
    Renew,
    Restore,
    Retire,
    Sweep,
    Trim,
    Verify,
)
from lifecycle.registry.agent_history import AgentHistory
from lifecycle.registry.record import AgentRecord, AgentState
from tests.contracts.providers.conftest import FOUNDRY_SPEC as SPEC
from tests.fakes.foundry_server import FakeFoundry
from tests.lifecycle.doubles import LOOK_AFTER, NOW, Crash, Fate, FatefulProvider, FatefulTables, ManualClock

OTHER = SPEC.model_copy(update={"instructions": "Be long."})
ENSURE, CHANGE = Ensure("ensure", 1, SPEC), Ensure("change", 2, OTHER)
AWAY = Retire("away", NOW + timedelta(minutes=1), grace_s=3600)


class Registry:
    """One actor of the agent `helper` over a project; each operation gets a new actor, as after a restart."""

    def __init__(self, fake: FakeFoundry, provider: FoundryProvider) -> None:
        self.fake = fake
        self.provider = provider
        self.tables = MemoryTables()
        self.clock = ManualClock()

    async def apply(self, *operations: Operation, fate: Fate | None = None) -> AgentRecord:
        tables, provider = self.tables, self.provider
        state: ActorState | None = None
        for operation in operations:
            struck: Any = FatefulProvider(provider, fate) if fate else provider
            over = FatefulTables(tables, fate) if fate else tables
            actor = AgentActor(over, {"foundry": struck}, owner="tests", look_after=LOOK_AFTER, clock=self.clock)
            state = await actor.handle(state, "default", "helper", operation)
        assert state is not None
        return state.record

    @property
    def there(self) -> dict[str, bool]:
        """Whether each version in the project runs."""
        agents = self.fake.project.agents.values()
        return {number: agent.enabled for agent in agents for number in agent.versions}


@asynccontextmanager
async def registry_at(fake: FakeFoundry) -> AsyncIterator[Registry]:
    provider = FoundryProvider(Project(endpoint=fake.endpoint), lambda: NOW)
    try:
        yield Registry(fake, provider)
    finally:
        await provider.aclose()


async def test_an_agent_is_switched_off_archived_and_deleted_after_its_grace(foundry: FakeFoundry) -> None:
    """Every step can be read in the archive and at the project."""
    async with registry_at(foundry) as registry:
        record = await registry.apply(ENSURE, CHANGE, AWAY)
        assert (record.state, record.archived, record.off) == (AgentState.IDLE, True, ("foundry",))
        assert registry.there == {"1": False, "2": False}
        early = await registry.apply(Retire("early", NOW, grace_s=3600))
        assert (early.delete_after, registry.there) == (record.delete_after, {"1": False, "2": False})
        registry.clock.move(hours=2)
        after = await registry.apply(Retire("late", NOW))
        archived = await AgentHistory(registry.tables).archived("default", "helper")

    assert (after.held, foundry.project.agents) == ((), {})
    assert {each.version.version: (each.definition or {})["definition"]["instructions"] for each in archived} == {
        "1": "Be brief.",
        "2": "Be long.",
    }


@pytest.mark.parametrize("back", [Ensure("use", 2, OTHER), Restore("restore", 2, OTHER)])
async def test_what_comes_back_within_the_grace_is_switched_on_again(foundry: FakeFoundry, back: Operation) -> None:
    """No new version is made, and the agent runs."""
    async with registry_at(foundry) as registry:
        record = await registry.apply(ENSURE, CHANGE, AWAY, back)
        assert record.version is not None

        assert (record.usable, record.version.version, record.off, record.delete_after) == (True, "2", (), None)
        assert registry.there == {"1": True, "2": True}
        assert foundry.counts["create_version"] == 2
        assert (await registry.provider.open(record.version, OTHER).run("Hi")).text


@pytest.mark.parametrize(
    ("before", "operation"),
    [
        ([ENSURE, CHANGE], AWAY),
        ([ENSURE, CHANGE, AWAY], Restore("restore", 2, OTHER)),
        ([ENSURE, CHANGE, AWAY], Ensure("back", 3, SPEC)),
        ([ENSURE, CHANGE, AWAY], Remove("remove", 3)),
        ([ENSURE, CHANGE, AWAY], Retire("now", NOW)),
    ],
    ids=["retire", "restore", "change in grace", "delete in grace", "delete after grace"],
)
async def test_dying_at_any_step_ends_as_if_it_had_not(
    foundry: FakeFoundry, before: Sequence[Operation], operation: Operation
) -> None:
    """Before or after each write and each request that changes the project: no version too many, off or on as meant."""

    async def end(provider: FoundryProvider, fate: Fate) -> tuple[Any, ...]:
        foundry.project.agents.clear()
        registry = Registry(foundry, provider)
        await registry.apply(*before)
        with suppress(Crash):
            await registry.apply(operation, fate=fate)
        record = await registry.apply(operation)
        labels = tuple(version.version for version in record.held)
        return record.state, labels, record.off, record.archived, record.intents, registry.there

    unharmed = Fate()
    async with registry_at(foundry) as registry:
        expected = await end(registry.provider, unharmed)
        for number in range(1, unharmed.count + 1):
            for after in (False, True):
                assert await end(registry.provider, Fate(number, after)) == expected, (number, after)


async def test_a_version_that_was_deleted_in_the_portal_is_made_again(foundry: FakeFoundry) -> None:
    """By a look of the timer, or of an apply; one that is intact is only looked at."""
    async with registry_at(foundry) as registry:
        await registry.apply(ENSURE)
        intact = await registry.apply(Verify("look"))
        assert foundry.counts["create_version"] == 1
        foundry.project.delete_version("helper", "1")
        looked = await registry.apply(Verify("look again"))
        foundry.project.version("helper", looked.version.version if looked.version else "")["definition"]["model"] = "x"
        renewed = await registry.apply(Renew("renew", 1, SPEC))

    assert (intact.version and intact.version.version, looked.usable, renewed.usable) == ("1", True, True)
    assert foundry.counts["create_version"] == 3
    assert [line.step.value for line in looked.unpublished] == ["created"]


async def test_two_that_made_the_same_version_end_with_one(foundry: FakeFoundry) -> None:
    """The version that the record holds stays, whichever is older; the other goes at the next look."""
    async with registry_at(foundry) as one, registry_at(foundry) as two:
        await one.apply(ENSURE)
        # The other looked before the first one made it, and made it after.
        body = foundry.bodies("create_version")[0]
        foundry.project.create_version("helper", body)
        assert sorted(one.there) == ["1", "2"]
        stayed = await one.apply(Verify("look"))
        foundry.project.create_version("helper", body)
        adopted = await two.apply(ENSURE)

    assert stayed.version is not None
    assert adopted.version is not None
    assert (stayed.version.version, adopted.version.version, sorted(one.there)) == ("1", "1", ["1"])


async def test_only_what_is_ours_and_not_held_is_swept(foundry: FakeFoundry) -> None:
    """The current version, a superseded one, a colleague's and another registry's stay."""
    async with registry_at(foundry) as registry:
        record = await registry.apply(ENSURE, CHANGE)
        foundry.project.create_version("helper", foundry.bodies("create_version")[0])
        theirs = foundry.project.edit_in_portal("helper", instructions="Mine.")
        found = [replace(each.version, provider="foundry") async for each in registry.provider.inventory("tests")]
        assert sorted(version.version for version in found) == ["1", "2", "3", theirs]
        swept = await registry.apply(Sweep("sweep", tuple(found)))

    assert sorted(registry.there) == ["1", "2", theirs]
    assert [version.version for version in swept.held] == [version.version for version in record.held]
    assert [(line.step.value, line.version) for line in swept.unpublished] == [("version_deleted", "3")]


async def test_a_colleagues_version_outlives_the_agents_retirement(foundry: FakeFoundry) -> None:
    """It is neither switched off nor deleted; ours are deleted one by one."""
    async with registry_at(foundry) as registry:
        await registry.apply(ENSURE)
        theirs = foundry.project.edit_in_portal("helper", instructions="Mine.")
        away = await registry.apply(AWAY)
        assert (away.off, registry.there) == ((), {"1": True, theirs: True})
        registry.clock.move(hours=2)
        await registry.apply(Retire("late", NOW))

    assert registry.there == {theirs: True}


async def test_superseded_versions_are_trimmed_and_kept_ones_made_again(foundry: FakeFoundry) -> None:
    """What a pinned session needs comes back from its own spec, beside the current version."""
    async with registry_at(foundry) as registry:
        record = await registry.apply(ENSURE, CHANGE)
        trimmed = await registry.apply(Trim("trim", record.superseded, NOW))
        assert sorted(registry.there) == ["2"]
        kept = await registry.apply(KeepVersion("keep", SPEC))

    assert trimmed.superseded == ()
    assert [version.version for version in kept.held] == ["3", "2"]
    assert foundry.project.version("helper", "3")["definition"]["instructions"] == "Be brief."


@pytest.mark.parametrize(("fault", "status"), [("throttled", "throttled"), ("unavailable", "unavailable")])
async def test_a_provider_in_trouble_makes_no_second_agent(foundry: FakeFoundry, fault: Any, status: str) -> None:
    """The agent says since when, and is ready once the provider is back, whether or not the creation took place."""
    async with registry_at(foundry) as registry:
        foundry.fail_next(fault, on="create_version", after=True, times=9)
        broken = await registry.apply(ENSURE)
        registry.clock.move(minutes=1)
        foundry.fail_next(fault, on="list_versions", times=9)
        still = await registry.apply(Ensure("again", 1, SPEC))
        foundry._planned.clear()
        registry.clock.move(minutes=1)
        well = await registry.apply(Ensure("once more", 1, SPEC))

    assert broken.failure is not None
    assert (broken.state, broken.failure.retriable) == (AgentState.FAILED, True)
    assert broken.health is not None
    assert still.health is not None
    assert well.health is not None
    assert (still.health.status, still.health.trouble_since) == (status, NOW)
    assert (well.health.status, well.health.verified_at, well.usable) == ("ok", registry.clock.now, True)
    assert sorted(registry.there) == ["1"]


async def test_the_provider_names_how_long_to_wait(foundry: FakeFoundry) -> None:
    """What a throttling service asks for reaches whoever waits for the agent."""
    foundry.fail_next("throttled", on="list_versions", times=20, retry_after_s=40)
    async with registry_at(foundry) as registry:
        record = await registry.apply(ENSURE)

    assert record.failure is not None
    assert (record.failure.code, record.failure.retry_after_s) == ("provider_throttled", 40)


async def test_a_look_that_fails_changes_nothing_but_what_is_known_of_it(foundry: FakeFoundry) -> None:
    """An outage is no reason to think that an agent is gone."""
    async with registry_at(foundry) as registry:
        before = await registry.apply(ENSURE)
        registry.clock.move(hours=1)
        foundry.fail_next("unavailable", on="get_version", times=20)
        after = await registry.apply(Verify("look"))

    assert after.health is not None
    assert before.health is not None
    assert (after.version, after.state, after.usable) == (before.version, AgentState.ACTIVE, True)
    assert (after.health.status, after.health.verified_at) == ("unavailable", before.health.verified_at)
    assert [line.step.value for line in after.unpublished] == ["verify_failed"]


async def test_an_agent_that_somebody_goes_on_with_is_not_left_switched_off(foundry: FakeFoundry) -> None:
    """A colleague's version came after the agent was put away: theirs stays, and runs; ours can be made beside it."""
    async with registry_at(foundry) as registry:
        await registry.apply(ENSURE, AWAY)
        assert registry.there == {"1": False}
        foundry.project.edit_in_portal("helper", instructions="Mine.")
        registry.clock.move(hours=2)
        await registry.apply(Retire("again", registry.clock.now, grace_s=0))
        assert registry.there == {"2": True}
        back = await registry.apply(Ensure("back", 1, SPEC))

    assert back.usable
    assert registry.there == {"2": True, "3": True}


async def test_a_throttling_service_is_left_alone_for_as_long_as_it_asked(foundry: FakeFoundry) -> None:
    """However many runs ask for the agent meanwhile, none of them makes a call; afterwards it is made."""
    foundry.fail_next("throttled", on="list_versions", times=20, retry_after_s=20)
    async with registry_at(foundry) as registry:
        await registry.apply(ENSURE)
        calls = len(foundry.calls)
        registry.clock.move(seconds=19)
        meanwhile = await registry.apply(Ensure("meanwhile", 1, SPEC))
        assert len(foundry.calls) == calls
        foundry._planned.clear()
        registry.clock.move(seconds=1)
        after = await registry.apply(Ensure("after", 1, SPEC))

    assert meanwhile.failure is not None
    assert (meanwhile.failure.code, "meanwhile" in meanwhile.applied) == ("provider_throttled", True)
    assert after.usable
