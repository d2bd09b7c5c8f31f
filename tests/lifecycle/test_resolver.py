"""Get-or-create: one creation however many ask, no I/O for a hit, and errors that say what is wrong."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from kernel.clock import Clock
from kernel.errors import Conflict, NotFound, ProviderRejected, Unavailable
from lifecycle.loader.agent_resolver import AgentResolver
from lifecycle.registry.actor_effects import Provision
from lifecycle.registry.actor_operations import Disable, Enable, Ensure, Operation, Remove, Retire
from lifecycle.registry.actor_signals import AgentSignals, LocalSignals
from lifecycle.registry.catalog import Agent, Catalog
from lifecycle.registry.effect_outcomes import failed
from lifecycle.registry.life_cycle_rules import apply
from lifecycle.registry.record import AgentRecord, AgentState, Failure, new_record
from lifecycle.registry.record_store import RecordStore
from lifecycle.specs.spec import AgentSpec
from tests.lifecycle.doubles import CountingTables, ManualClock, live_versions, make_actor, offline, settle, spec


class World:
    """A catalog, a resolver and actors over counting tables."""

    def __init__(self, *, wait_for: float = 1, capacity: int = 50) -> None:
        self.clock = ManualClock()
        self.tables = CountingTables()
        self.catalog = Catalog(self.tables, self.clock)
        self.provider = offline(self.tables, self.clock)
        self.signals = LocalSignals(make_actor(self.tables, self.provider, self.clock))
        self.resolver = AgentResolver(
            self.catalog,
            {"offline": self.provider},
            self.clock,
            self.clock.seconds,
            capacity=capacity,
            trust_for=timedelta(seconds=10),
            wait_for=timedelta(seconds=wait_for),
        )

    async def declare(self, name: str = "bot", declared: AgentSpec | None = None) -> int:
        agent, _ = await self.catalog.declare("default", name, declared or spec())
        return agent.declaration.revision


class Silent(AgentSignals):
    """Actors that are not there; what they were sent is counted."""

    def __init__(self) -> None:
        self.sent: list[Operation] = []

    async def send(self, workspace: str, name: str, operation: Operation) -> None:
        self.sent.append(operation)


@pytest.fixture
def world() -> World:
    return World()


async def test_two_hundred_at_once_make_one_agent(world: World) -> None:
    """Everyone gets the same opened agent, and the provider was asked once."""
    await world.declare()
    found = await asyncio.gather(*(world.resolver.resolve("default", "bot", world.signals) for _ in range(200)))

    assert len({id(live.framework_agent) for live in found}) == 1
    assert len(await live_versions(world.tables)) == 1
    assert world.tables.operations["commit offlineagents"] == 2, "the version and its number, once"


async def test_many_processes_at_once_make_one_agent(world: World) -> None:
    """Each has a resolver and a cache of its own; the actor is one."""
    await world.declare()
    resolvers = [
        AgentResolver(
            world.catalog,
            {"offline": world.provider},
            world.clock,
            world.clock.seconds,
            capacity=5,
            trust_for=timedelta(seconds=10),
            wait_for=timedelta(seconds=1),
        )
        for _ in range(20)
    ]
    await asyncio.gather(*(resolver.resolve("default", "bot", world.signals) for resolver in resolvers))

    assert len(await live_versions(world.tables)) == 1


async def test_a_hit_costs_no_table_operation(world: World) -> None:
    """A trusted entry is used without asking anybody, and is counted as one hit."""
    await world.declare()
    await world.resolver.resolve("default", "bot", world.signals)
    world.tables.reset()
    for _ in range(10):
        await world.resolver.resolve("default", "bot", world.signals)

    assert world.tables.operations.total() == 0
    assert (world.resolver.cache.hits, world.resolver.cache.misses) == (10, 1)


async def test_a_miss_on_a_ready_agent_costs_one_read(world: World) -> None:
    """Declaration and record lie next to each other."""
    await world.declare()
    await world.resolver.resolve("default", "bot", world.signals)
    world.resolver.forget("default", "bot")
    world.tables.reset()
    await world.resolver.resolve("default", "bot", world.signals)

    assert dict(world.tables.operations) == {"query agents": 1}


async def test_an_entry_is_trusted_for_a_while_only(world: World) -> None:
    """After it, the table is asked; an unchanged agent is not opened again."""
    await world.declare()
    first = await world.resolver.resolve("default", "bot", world.signals)
    world.tables.reset()
    world.clock.move(seconds=9.9)
    await world.resolver.resolve("default", "bot", world.signals)
    assert world.tables.operations.total() == 0
    world.clock.move(seconds=0.1)
    again = await world.resolver.resolve("default", "bot", world.signals)

    assert dict(world.tables.operations) == {"query agents": 1}
    assert again.framework_agent is first.framework_agent
    assert again.checked_at == world.clock.now


async def test_a_disabled_agent_is_refused_once_it_is_looked_at(world: World) -> None:
    """The kill switch holds from the next look on, and the entry is gone."""
    await world.declare()
    await world.resolver.resolve("default", "bot", world.signals)
    await world.catalog.switch("default", "bot", enabled=False)
    world.clock.move(seconds=10)

    with pytest.raises(Conflict) as caught:
        await world.resolver.resolve("default", "bot", world.signals)

    assert caught.value.code == "agent_disabled"
    assert len(world.resolver.cache) == 0


async def test_an_unknown_agent_is_not_found(world: World) -> None:
    """Nothing is created for it."""
    with pytest.raises(NotFound) as caught:
        await world.resolver.resolve("default", "bot", world.signals)

    assert caught.value.code == "agent_not_found"
    assert world.tables.operations["commit agents"] == 0


async def test_failed_provisioning_is_unavailable_and_heals(world: World) -> None:
    """Each resolve tries once; the one after the last failure succeeds."""
    await world.declare(declared=spec(simulate={"fail_creates": 2}))
    codes: list[str] = []
    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            await world.resolver.resolve("default", "bot", world.signals)
        codes.append(caught.value.code)
    live = await world.resolver.resolve("default", "bot", world.signals)

    assert codes == ["provider_unavailable"] * 2
    assert live.version.version == "1"


async def test_those_who_wait_together_fail_together(world: World) -> None:
    """One failure of the provider is one attempt, not one after another for each who waits."""
    await world.declare(declared=spec(simulate={"fail_creates": 1}))
    outcomes = await asyncio.gather(
        *(world.resolver.resolve("default", "bot", world.signals) for _ in range(50)), return_exceptions=True
    )

    assert {type(outcome) for outcome in outcomes} == {Unavailable}
    assert (await world.resolver.resolve("default", "bot", world.signals)).version.version == "1"


async def test_the_wait_for_the_actor_is_bounded_for_everyone() -> None:
    """Fifty runs that wait for an actor that never answers give up after one wait and one signal."""
    world, silent = World(wait_for=0.05), Silent()
    await world.declare()
    world.resolver._clock = loop_clock()
    started = asyncio.get_running_loop().time()
    outcomes = await asyncio.gather(
        *(world.resolver.resolve("default", "bot", silent) for _ in range(50)), return_exceptions=True
    )

    assert {getattr(outcome, "code", None) for outcome in outcomes} == {"agent_not_ready"}
    assert len(silent.sent) == 1
    assert asyncio.get_running_loop().time() - started < 2


async def test_a_cancelled_run_takes_nothing_from_the_others(world: World) -> None:
    """The one that started the look-up goes away; the others still get the agent."""
    await world.declare()
    first = asyncio.create_task(world.resolver.resolve("default", "bot", world.signals))
    await asyncio.sleep(0)
    others = [asyncio.create_task(world.resolver.resolve("default", "bot", world.signals)) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    found = await asyncio.gather(*others)

    assert len({live.version.id for live in found}) == 1
    assert len(await live_versions(world.tables)) == 1


async def test_a_refusal_is_told_as_one_even_when_another_worker_met_it_too(world: World) -> None:
    """Two workers ensure at once and both fail; the record names the later operation, both are told."""
    revision = await world.declare()
    ours: list[Ensure] = []

    class Both(AgentSignals):
        async def send(self, workspace: str, name: str, operation: Operation) -> None:
            assert isinstance(operation, Ensure)
            ours.append(operation)
            theirs = Ensure("theirs", revision, operation.spec)
            record = make_record(world, operation, theirs)
            await RecordStore(world.tables).write(record, "", record, world.clock())

    with pytest.raises(ProviderRejected) as caught:
        await world.resolver.resolve("default", "bot", Both())

    assert caught.value.code == "provider_auth"
    assert len(ours) == 1


async def test_a_newer_revision_is_waited_for(world: World) -> None:
    """A run that was submitted after a change never gets what was cached before it."""
    await world.declare(declared=spec(instructions="old"))
    await world.resolver.resolve("default", "bot", world.signals)
    revision = await world.declare(declared=spec(instructions="new"))
    trusted = await world.resolver.resolve("default", "bot", world.signals)
    fresh = await world.resolver.resolve("default", "bot", world.signals, revision)

    assert trusted.spec.instructions == "old"
    assert (fresh.spec.instructions, fresh.revision) == ("new", revision)


async def test_a_newer_revision_is_waited_for_by_those_who_join_a_look_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look-up that began before the change is not good enough for a run that came after it."""
    await world.declare(declared=spec(instructions="old"))
    await world.resolver.resolve("default", "bot", world.signals)
    world.clock.move(seconds=60)
    read, go_on = asyncio.Event(), asyncio.Event()
    get = world.catalog.get

    async def slow(workspace: str, name: str) -> Agent:
        agent = await get(workspace, name)
        read.set()
        await go_on.wait()
        return agent

    monkeypatch.setattr(world.catalog, "get", slow)
    early = asyncio.create_task(world.resolver.resolve("default", "bot", world.signals))
    await read.wait()
    revision = await world.declare(declared=spec(instructions="new"))
    late = asyncio.create_task(world.resolver.resolve("default", "bot", world.signals, revision))
    await settle()
    go_on.set()

    assert ((await early).spec.instructions, (await late).spec.instructions) == ("old", "new")


async def test_a_change_while_waiting_is_followed() -> None:
    """The declaration changes while a run waits for its agent: the new one is ensured, not the old one waited for."""
    world = World(wait_for=5)
    await world.declare(declared=spec(instructions="old"))
    changed = False

    class Slow(AgentSignals):
        async def send(self, workspace: str, name: str, operation: Operation) -> None:
            nonlocal changed
            if not changed:
                changed = True
                await world.declare(declared=spec(instructions="new"))
            await world.signals.send(workspace, name, operation)

    live = await world.resolver.resolve("default", "bot", Slow())

    assert live.spec.instructions == "new"


async def test_a_spec_declared_while_disabled_is_what_runs_after_enabling(world: World) -> None:
    """Enabling takes over the revision; it must not pass the old version off as the new spec's."""
    await world.declare(declared=spec(instructions="old"))
    await world.resolver.resolve("default", "bot", world.signals)
    await switch(world, enabled=False)
    await world.declare(declared=spec(instructions="new"))
    await switch(world, enabled=True)
    world.resolver.forget("default", "bot")
    live = await world.resolver.resolve("default", "bot", world.signals)

    assert live.spec.instructions == "new"
    assert live.version.version == "2"


async def test_an_agent_declared_again_does_not_live_on_what_is_being_deleted(world: World) -> None:
    """Deleted and declared again with the same spec, while the deletion is still on its way: the new one is ensured."""
    await world.declare()
    await world.resolver.resolve("default", "bot", world.signals)
    deleted = await world.catalog.delete("default", "bot")
    await world.declare()
    world.resolver.forget("default", "bot")
    live = await world.resolver.resolve("default", "bot", world.signals)
    await world.signals.send("default", "bot", Remove("late", deleted.declaration.revision))

    assert await world.provider.exists(live.version)
    assert (await world.catalog.get("default", "bot")).ready


async def test_a_retired_agent_is_back_on_its_next_use(world: World) -> None:
    """Nobody has to restore it first."""
    await world.declare()
    await world.resolver.resolve("default", "bot", world.signals)
    agent = await world.catalog.get("default", "bot")
    await world.signals.send("default", "bot", Retire("r", world.clock.now))
    retired = await world.catalog.get("default", "bot")
    world.resolver.forget("default", "bot")
    live = await world.resolver.resolve("default", "bot", world.signals)

    assert (agent.state, retired.state) == (AgentState.ACTIVE, AgentState.IDLE)
    assert live.version.version == "2"


async def test_the_cache_is_bounded() -> None:
    """More agents than it holds push each other out and are found again."""
    world = World(capacity=3)
    for number in range(6):
        await world.declare(f"bot-{number}")
        await world.resolver.resolve("default", f"bot-{number}", world.signals)

    assert len(world.resolver.cache) == 3
    assert (await world.resolver.resolve("default", "bot-0", world.signals)).name == "bot-0"


def loop_clock() -> Clock:
    start, loop = ManualClock().now, asyncio.get_running_loop()
    zero = loop.time()
    return lambda: start + timedelta(seconds=loop.time() - zero)


def make_record(world: World, *operations: Ensure) -> AgentRecord:
    record = new_record("default", "bot", world.clock.now)
    for operation in operations:
        begun = apply(record, operation, world.clock.now).record
        failure = Failure("provider_auth", "No.", retriable=False, operation_id=operation.operation_id)
        record = failed(begun, operation, Provision(operation.spec), failure, world.clock.now)
    return record


async def switch(world: World, *, enabled: bool) -> None:
    agent = await world.catalog.switch("default", "bot", enabled=enabled)
    kind = Enable if enabled else Disable
    await world.signals.send("default", "bot", kind(f"switch-{enabled}", agent.declaration.revision))
