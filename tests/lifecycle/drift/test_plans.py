"""Plans as they are kept and applied: stale ones, unknown ones, destructive ones, and those that were cut off."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from adapters.memory_tables import MemoryTables
from kernel.errors import Conflict, InvalidInput, NotFound, Unavailable
from kernel.ids import new_id
from kernel.tables import Row, Span, Upsert, every
from lifecycle.drift.drift_plan import MOST_VERSIONS, DriftAction, DriftKind, Plan, PlanLine
from lifecycle.drift.plan_store import KEPT, TABLE, PlanStore
from lifecycle.registry.actor_operations import Ensure
from lifecycle.registry.providers import ProviderVersion
from tests.lifecycle.doubles import NOW, Crash, Fate, FatefulTables
from tests.lifecycle.drift.world import Held, World


@pytest.fixture
def world() -> World:
    return World()


async def outcomes(world: World, plan_id: str) -> list[str]:
    return [step.outcome.value for step in await world.steps(plan_id)]


async def test_a_plan_changes_nothing_until_it_is_applied(world: World) -> None:
    """Lines are planned, then the actors are told, then they are done."""
    await world.declare("a", ready=False)
    stored = await world.plans.make("default")
    held = Held()

    assert await outcomes(world, stored.id) == ["planned"]
    assert await world.apply(stored.id, signals=held) == ["sent"]
    assert world.portal.versions == {}
    assert await outcomes(world, stored.id) == ["pending"]
    for told in held.sent:
        await world.signals.send(*told)
    assert await outcomes(world, stored.id) == ["done"]
    assert await world.apply(stored.id) == ["done"]


async def test_what_deletes_is_only_done_when_asked_for(world: World) -> None:
    """Without a word the orphan stays, and the line says that it was skipped."""
    await world.declare("a", ready=False)
    world.stray("lost")
    stored = await world.plans.make("default")

    assert await world.apply(stored.id) == ["sent", "skipped"]
    assert await outcomes(world, stored.id) == ["done", "skipped"]
    assert "lost:1" in world.portal.versions
    assert await world.apply(stored.id, destructive=True) == ["done", "sent"]
    assert await outcomes(world, stored.id) == ["done", "done"]
    assert "lost:1" not in world.portal.versions


async def test_lines_are_applied_one_by_one(world: World) -> None:
    """Each has a state of its own: the others stay planned; the same line again is done, and told to nobody."""
    for name in ("a", "b"):
        await world.declare(name, ready=False)
    world.stray("lost")
    stored = await world.plans.make("default")

    assert await world.apply(stored.id, only=[1]) == ["sent"]
    assert await outcomes(world, stored.id) == ["planned", "done", "planned"]
    assert sorted(world.portal.versions) == ["b:1", "lost:1"]
    assert await world.apply(stored.id, only=[1, 1], signals=Held()) == ["done"]
    assert await world.apply(stored.id, only=[2, 0]) == ["sent", "skipped"]
    assert await outcomes(world, stored.id) == ["done", "done", "skipped"]
    assert await world.apply(stored.id, only=[2], destructive=True) == ["sent"]
    assert await outcomes(world, stored.id) == ["done"] * 3
    assert sorted(world.portal.versions) == ["a:1", "b:1"]


async def test_a_line_that_was_told_stays_so_when_another_is_applied(world: World) -> None:
    """What the actor of the one has not done yet is pending, whatever is applied meanwhile."""
    for name in ("a", "b"):
        await world.declare(name, ready=False)
    stored = await world.plans.make("default")
    held = Held()
    await world.apply(stored.id, only=[0], signals=held)
    await world.apply(stored.id, only=[1])

    assert await outcomes(world, stored.id) == ["pending", "done"]
    for told in held.sent:
        await world.signals.send(*told)
    assert await outcomes(world, stored.id) == ["done", "done"]


async def test_two_who_apply_lines_at_the_same_time_do_both(world: World) -> None:
    """Neither takes the other's line for not applied."""
    for name in ("a", "b", "c"):
        await world.declare(name, ready=False)
    stored = await world.plans.make("default")
    await asyncio.gather(world.apply(stored.id, only=[0]), world.apply(stored.id, only=[2]))

    assert await outcomes(world, stored.id) == ["done", "planned", "done"]
    assert (await world.plans.find("default", stored.id)).applied == 2


@pytest.mark.parametrize("only", [[2], [0, -1], [99]])
async def test_a_line_that_there_is_not_applies_none(world: World, only: list[int]) -> None:
    """Not even those that there are."""
    for name in ("a", "b"):
        await world.declare(name, ready=False)
    stored = await world.plans.make("default")

    with pytest.raises(InvalidInput) as refused:
        await world.apply(stored.id, only=only)

    assert refused.value.code == "unknown_plan_line"
    assert await outcomes(world, stored.id) == ["planned", "planned"]


async def test_a_line_is_stale_only_where_its_own_agent_differs(world: World) -> None:
    """Others may change while one goes through a plan line by line; the plan as a whole is stale."""
    for name in ("a", "b"):
        await world.declare(name, ready=False)
    stored = await world.plans.make("default")
    await world.redeclare("b", instructions="Changed.")

    for only in ([1], [0, 1], None):
        with pytest.raises(Conflict) as refused:
            await world.apply(stored.id, only=only)
        assert refused.value.code == "plan_stale"
    assert await world.apply(stored.id, only=[0]) == ["sent"]
    assert await outcomes(world, stored.id) == ["done", "planned"]


@pytest.mark.parametrize("meanwhile", ["edit", "declare", "redeclare", "stray", "ghost"])
async def test_a_stale_plan_is_refused(world: World, meanwhile: str) -> None:
    """Where something differs that the plan does not know of, nothing is done, and it stays as if never applied."""
    await world.declare("a", ready=False)
    await world.declare("b")
    stored = await world.plans.make("default")
    match meanwhile:
        case "edit":
            world.portal.edit("b")
        case "declare":
            await world.declare("c", ready=False)
        case "redeclare":
            await world.redeclare("a", instructions="Changed.")
        case "stray":
            world.stray("lost")
        case _:
            del world.portal.versions["b:1"]

    with pytest.raises(Conflict) as refused:
        await world.apply(stored.id, destructive=True)

    assert refused.value.code == "plan_stale"
    assert "a:1" not in world.portal.versions
    assert (await world.plans.find("default", stored.id)).applied == 0


async def test_what_came_right_by_itself_makes_no_plan_stale(world: World) -> None:
    """An agent that was used meanwhile is there: its line is done, the others hold."""
    await world.declare("a", ready=False)
    await world.declare("b", ready=False)
    stored = await world.plans.make("default")
    await world.services.agents.administration.prewarm("default", "a", world.signals)

    assert await world.apply(stored.id) == ["done", "sent"]
    assert await outcomes(world, stored.id) == ["done", "done"]
    assert sorted(world.portal.versions) == ["a:1", "b:1"]


async def test_unknown_plans_and_other_workspaces(world: World) -> None:
    """A plan that there is not, and one of another workspace, are the same: not found."""
    await world.declare("a", ready=False)
    stored = await world.plans.make("default")

    for workspace, plan_id in (("default", "latest"), ("default", "nope"), ("elsewhere", stored.id)):
        with pytest.raises(NotFound) as unknown:
            await world.plans.apply(workspace, plan_id, world.signals)
        assert unknown.value.code == "plan_not_found"
        with pytest.raises(NotFound):
            await world.plans.find(workspace, plan_id)


async def test_another_workspaces_agents_are_never_shown(world: World) -> None:
    """Neither what it declared, nor what it has at the provider, nor what drifts there."""
    other = World(world.tables, "elsewhere")
    other.portal = world.portal
    other.services = world.services
    other.signals = world.signals
    await other.declare("theirs", ready=False)
    await other.declare("edited")
    world.portal.edit(other.name("edited"))
    world.stray("lost", workspace="elsewhere")

    assert await world.told() == []
    assert [line[0] for line in await other.told()] == ["edited", "lost", "theirs"]
    await world.declare("mine", ready=False)
    assert [line[0] for line in await world.told()] == ["mine"]


async def test_a_failure_is_shown_and_can_be_tried_again(world: World) -> None:
    """The provider refuses to make it: the line has failed; applied again, it is made."""
    await world.declare("a", ready=False)
    stored = await world.plans.make("default")
    create = world.portal.create

    async def refuse(wanted: Any) -> Any:
        raise Unavailable("No room.", code="provider_unavailable")

    world.portal.create = refuse  # pyright: ignore[reportAttributeAccessIssue] - the provider fails, not the registry
    assert await world.apply(stored.id) == ["sent"]
    (step,) = await world.steps(stored.id)
    assert (step.outcome.value, step.detail) == ("failed", "No room.")

    world.portal.create = create  # pyright: ignore[reportAttributeAccessIssue]
    assert await world.apply(stored.id) == ["sent"]
    assert await outcomes(world, stored.id) == ["done"]


async def test_a_declaration_that_changed_after_the_plan_was_applied_overtakes_it(world: World) -> None:
    """Its line is neither done nor failed: another declaration counts by now."""
    await world.declare("a", ready=False)
    stored = await world.plans.make("default")
    await world.apply(stored.id, signals=Held())
    await world.redeclare("a", instructions="Changed.")

    assert await outcomes(world, stored.id) == ["overtaken"]


@pytest.mark.parametrize("after", [False, True])
async def test_applying_can_be_cut_off_anywhere(after: bool) -> None:
    """Killed at every write of apply and of the actors in turn; applied again, all is done, once."""
    for at in range(1, 200):
        world = World()
        for name in ("a", "b"):
            await world.declare(name, ready=False)
        world.stray("lost")
        await world.declare("c")
        world.portal.versions.pop("c:1")
        world.stray("c", "never recorded")
        stored = await world.plans.make("default")
        fate = Fate(at, after)
        dying = world.worker(FatefulTables(world.tables, fate))
        finished = True
        try:
            await dying.drift.plans.apply("default", stored.id, dying.agents.local_signals(), destructive=True)
        except Crash:
            finished = False

        again = world.worker(world.tables)
        _, steps = await again.drift.plans.apply("default", stored.id, again.agents.local_signals(), destructive=True)

        assert {step.outcome.value for step in steps} <= {"sent", "done"}
        assert await outcomes(world, stored.id) == ["done"] * 5
        assert await world.told() == []
        assert sorted(found.version.name for found in world.portal.versions.values()) == ["a", "b", "c"]
        if finished:
            assert at > 10
            return
    raise AssertionError


@pytest.mark.parametrize("after", [False, True])
async def test_making_a_plan_can_be_cut_off_anywhere(after: bool) -> None:
    """Half a plan is no plan: it is not found, and goes with the oldest."""
    for at in range(1, 20):
        tables = MemoryTables()
        world = World(FatefulTables(tables, Fate(at, after)))
        healthy = World(tables)
        for number in range(90):
            await healthy.declare(f"a{number:02d}", ready=False)
        finished = True
        try:
            await world.plans.make("default")
        except Crash:
            finished = False
        ids = [row.key async for row in every(tables, TABLE, Span("default", key_before="latest"))]
        for plan_id in ids:
            try:
                assert len(await healthy.steps(plan_id)) == 90
            except NotFound:
                assert not finished
        if finished:
            return
    raise AssertionError


async def test_only_the_latest_plans_are_kept(world: World) -> None:
    """Old plans go with their lines; what is kept does not grow."""
    await world.declare("a", ready=False)
    first = await world.plans.make("default")
    for _ in range(KEPT + 2):
        await world.plans.make("default")
    oldest = await anext(every(world.tables, TABLE, Span("default")))
    await world.tables.commit(TABLE, [Upsert(Row("default", oldest.key, {"plan": "{}"}))])  # one that cannot be read
    latest = await world.plans.make("default")

    rows = [row async for row in every(world.tables, TABLE, Span(" ", partition_before="~"))]
    assert len(rows) == 2 * KEPT + 1  # a plan and its lines each, and the summary
    with pytest.raises(NotFound):
        await world.plans.find("default", first.id)
    assert await outcomes(world, latest.id) == ["planned"]


async def test_lines_come_in_pages_of_any_size(world: World) -> None:
    """However they are stored, any part of them can be read."""
    for number in range(95):
        await world.declare(f"a{number:02d}", ready=False)
    stored = await world.plans.make("default")

    for first, limit in ((0, 1), (39, 2), (40, 40), (79, 2), (90, 50), (94, 1), (95, 10), (1000, 1)):
        steps = await world.plans.steps(stored, first, limit)
        assert [step.line.agent for step in steps] == [
            f"a{number:02d}" for number in range(first, min(95, first + limit))
        ]


async def test_the_timer_counts_and_changes_nothing(world: World) -> None:
    """Counts by kind for every workspace, kept for whoever asks; nothing is made or deleted, no plan is stored."""
    other = World(world.tables, "elsewhere")
    await world.declare("a", ready=False)
    await world.declare("b")
    world.portal.edit("b")
    world.stray("lost", workspace="elsewhere")
    await other.declare("quiet", ready=False)
    before = dict(world.portal.versions)

    summaries = await world.plans.reconcile()

    assert {name: summary.counts for name, summary in summaries.items()} == {
        "default": {"changed": 1, "create": 1},
        "elsewhere": {"create": 1, "orphan": 1},
    }
    assert await world.plans.latest("default") == summaries["default"]
    assert await world.plans.latest("nowhere") is None
    assert world.portal.versions == before
    assert [row.key async for row in every(world.tables, TABLE, Span(" ", partition_before="~"))] == ["latest"] * 2


async def test_operations_carry_the_declaration_they_were_planned_for(world: World) -> None:
    """The actor is told the revision, so that an older plan cannot undo a newer declaration."""
    await world.declare("a", ready=False)
    stored = await world.plans.make("default")
    held = Held()
    await world.apply(stored.id, signals=held)

    ((workspace, name, operation),) = held.sent
    assert isinstance(operation, Ensure)
    assert (workspace, name, operation.revision) == ("default", "a", 1)
    assert len(operation.operation_id) <= 64


async def test_a_plan_that_sweeps_as_much_as_it_can_is_kept(world: World) -> None:
    """A lost table leaves hundreds of agents with all their versions unknown: every line is as long as it gets."""
    name, label = "a" * 63, "v" * 64
    versions = tuple(
        ProviderVersion(name, str(number), f"{name}:{number}:{label}", NOW, "foundry", "o" * 64, "f" * 64)
        for number in range(MOST_VERSIONS)
    )
    line = PlanLine(name, DriftKind.ORPHAN, DriftAction.SWEEP, "foundry", "w" * 200, "w" * 200, 0, versions)
    store = PlanStore(world.tables)
    stored = await store.save("default", new_id(), Plan((line,) * 100, 0), NOW)

    assert await store.lines(stored) == [line] * 100
