"""Whatever happened here and at the provider: a plan that is applied leaves nothing to do, and harms nobody."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.errors import Conflict, NotFound
from lifecycle.drift.drift_plan import DriftAction
from lifecycle.registry.providers import ProviderAgent
from lifecycle.registry.record import AgentState
from tests.lifecycle.drift.world import OWNER, World

AGENTS = ("a", "b_1")
SPECS = ("One.", "Two.")
agents, specs = st.sampled_from((*AGENTS[:1] * 3, *AGENTS[1:])), st.sampled_from(SPECS)
EVENTS = st.one_of(
    st.tuples(st.just("declare"), agents, specs),
    st.tuples(st.just("redeclare"), agents, specs),  # the signal is lost
    st.tuples(st.just("label"), agents, specs),
    st.tuples(st.just("prewarm"), agents),
    st.tuples(st.just("retire"), agents),
    st.tuples(st.just("disable"), agents),
    st.tuples(st.just("enable"), agents),
    st.tuples(st.just("delete"), agents),
    st.tuples(st.just("delete_unheard"), agents),  # the signal is lost
    st.tuples(st.just("stray"), agents, specs),
    st.tuples(st.just("stray_elsewhere"), agents, specs),
    st.tuples(st.just("edit"), agents, st.booleans()),
    st.tuples(st.just("spoil"), agents, st.integers(0, 3)),
    st.tuples(st.just("vanish"), agents, st.integers(0, 3)),
    st.tuples(st.just("vanish_all"), agents),
    st.tuples(st.just("take_over"), agents, st.integers(0, 3)),  # the number is somebody else's now
    st.tuples(st.just("copy"), agents),
    st.tuples(st.just("other_owner"), agents, specs),
)


async def happen(world: World, what: str, agent: str, more: Any = None) -> None:
    """Have something happen in the registry, or at the provider if it is nothing the registry knows."""
    admin = world.services.agents.administration
    match what:
        case "declare":
            await world.declare(agent, more, ready=False)
        case "redeclare":
            await world.redeclare(agent, instructions=more)
        case "label":
            await world.redeclare(agent, labels={"say": more})
        case "prewarm":
            await admin.prewarm(world.workspace, agent, world.signals)
        case "retire":
            await admin.retire(world.workspace, agent, world.signals)
        case "disable" | "enable":
            await admin.switch(world.workspace, agent, world.signals, enabled=what == "enable")
        case "delete":
            await admin.delete(world.workspace, agent, world.signals)
        case "delete_unheard":
            await world.services.agents.catalog.delete(world.workspace, agent)
        case "stray":
            world.stray(agent, more)
        case "stray_elsewhere":
            world.stray(agent, more, workspace="elsewhere")
        case "other_owner":
            made = world.stray(agent, more)
            theirs = replace(world.portal.versions[made.id].version, owner="them")
            world.portal.versions[made.id] = replace(world.portal.versions[made.id], version=theirs)
        case _ if there := world.portal.of(world.name(agent)):
            meddle(world, what, there, more)


def meddle(world: World, what: str, there: list[ProviderAgent], more: Any) -> None:
    """Have somebody change at the provider what is there of an agent."""
    portal, one = world.portal, there[(more or 0) % len(there)]
    match what:
        case "edit":
            portal.edit(one.version.name, keep_mark=more)
        case "spoil":
            portal.spoil(one.version)
        case "vanish":
            del portal.versions[one.version.id]
        case "vanish_all":
            for each in there:
                del portal.versions[each.version.id]
        case "take_over":
            theirs = replace(one.version, owner="", fingerprint="")
            portal.versions[theirs.id] = replace(one, version=theirs, workspace="", agent="")
        case "copy":
            copy = portal.put(f"{one.version.name}-copy")
            version = replace(there[-1].version, name=copy.name, version=copy.version, id=copy.id)
            portal.versions[copy.id] = replace(there[-1], version=version)


async def applied(events: list[tuple[Any, ...]], *, harmless_first: bool) -> None:
    world = World()
    for event in events:
        try:
            await happen(world, *event)
        except (NotFound, Conflict):
            continue  # there is no such agent (any more), or it is disabled
    world.wait(seconds=1)
    stored = await world.plans.make(world.workspace)
    steps = await world.plans.steps(stored, 0, stored.lines or 1)
    ours = {key: found for key, found in world.portal.versions.items() if found.owner == OWNER and found.intact}
    world.portal.removed.clear()

    for step in steps:
        # Nothing that is not ours, nor another workspace's, stands in a line that deletes.
        if step.line.action in (DriftAction.SWEEP, DriftAction.REMOVE):
            assert {ours[each.id].workspace for each in step.line.versions} == {world.workspace}
    before = set(world.portal.versions)
    if harmless_first:
        await world.apply(stored.id)
        assert before <= set(world.portal.versions), "something was deleted that nobody asked for"
    outcomes = await world.apply(stored.id, destructive=True)
    assert set(outcomes) <= {"sent", "done", "remark"}
    after = await world.plans.steps(await world.plans.find(world.workspace, stored.id), 0, stored.lines or 1)
    assert {step.outcome.value for step in after} <= {"done", "remark"}

    # Nothing is left to do, and nobody else's version is gone.
    left = await world.steps()
    assert [step.line for step in left if step.line.action is not DriftAction.NONE] == []
    assert all(owner == OWNER and intact for owner, intact in world.portal.removed)
    for agent in AGENTS:
        await check(world, agent)


async def check(world: World, name: str) -> None:
    """Check that what is at the provider of an agent is what its record holds, and what it needs to be used."""
    found = [each for each in world.portal.of(world.name(name)) if each.owner == OWNER and each.intact]
    there = {each.version.id for each in found if (each.workspace, each.agent) == (world.workspace, name)}
    agent = await world.services.agents.catalog.find(world.workspace, name)
    record = agent.record if agent else None
    held = {each.id for each in record.held} if record else set[str]()
    assert there <= held
    assert len({each.version.fingerprint for each in found}) == len(found)
    if agent is not None and agent.state in (AgentState.ACTIVE, AgentState.REGISTERED, AgentState.PROVISIONING):
        assert agent.ready
        assert record is not None
        assert record.version is not None
        assert record.version.id in there
    if agent is not None and agent.declaration.deleted and there:
        assert record is not None
        assert record.retired, "it was deleted, but nobody takes it away"


STARTS = st.sampled_from(
    [
        [],
        [("declare", "a", "One.")],
        [("declare", "a", "One."), ("prewarm", "a")],
        [("declare", "a", "One."), ("prewarm", "a"), ("declare", "a", "Two.")],
    ]
)


@settings(max_examples=150, deadline=None)
@given(STARTS, st.lists(EVENTS, min_size=1, max_size=10), st.booleans())
def test_applying_a_plan_leaves_nothing_to_do(
    start: list[tuple[Any, ...]], events: list[tuple[Any, ...]], harmless_first: bool
) -> None:
    """For any history: one plan, applied, and the next one has nothing to do; others' versions are all still there."""
    asyncio.run(applied([*start, *events], harmless_first=harmless_first))
