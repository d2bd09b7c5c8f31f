"""What each way of differing makes of a plan, and what applying it comes to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from adapters.providers.offline import TABLE
from kernel.errors import Unavailable
from kernel.tables import Delete
from lifecycle.drift.drift_plan import DriftAction
from tests.lifecycle.app import App
from tests.lifecycle.doubles import spec
from tests.lifecycle.drift.world import World, unconfigured


@pytest.fixture
def world() -> World:
    return World()


async def test_what_is_as_it_should_be_makes_no_line(world: World) -> None:
    """Agents that are made as declared are counted, and that is all."""
    await world.declare("a")
    await world.declare("b_2")

    stored = await world.plans.make("default")

    assert (stored.lines, stored.summary.counts, stored.summary.unchanged) == (0, {}, 2)


async def test_a_declared_agent_that_is_not_there_is_created(world: World) -> None:
    """Declared and never used: applying makes it ready."""
    await world.declare("a", ready=False)

    assert await world.told() == [("a", "create", "ensure")]
    assert await world.settle() == []
    assert (await world.record("a")).usable


async def test_a_change_whose_signal_was_lost_is_an_update(world: World) -> None:
    """The declaration holds; its version follows when the plan is applied, and the earlier one is kept."""
    await world.declare("a")
    await world.redeclare("a", instructions="Changed.")

    assert await world.told() == [("a", "update", "ensure")]
    assert await world.settle() == []
    record = await world.record("a")
    assert [each.version for each in record.held] == ["1", "2"]


async def test_a_changed_policy_makes_no_version(world: World) -> None:
    """A label is not what the agent is: the record follows, the version stays."""
    await world.declare("a")
    await world.redeclare("a", labels={"team": "x"})

    (step,) = await world.steps()

    assert (step.line.kind, step.line.would) == ("update", "Bring the record up to date.")
    assert await world.settle() == []
    assert list(world.portal.versions) == ["a:1"]


async def test_going_back_to_an_earlier_spec_makes_no_version(world: World) -> None:
    """The earlier version is still held; the line says that it is gone on with."""
    await world.declare("a", "One.")
    await world.declare("a", "Two.")
    await world.redeclare("a", instructions="One.")

    (step,) = await world.steps()

    assert step.line.would == "Go on with version 1, which the registry holds."
    assert await world.settle() == []
    assert list(world.portal.versions) == ["a:1", "a:2"]


async def test_ours_that_the_record_does_not_hold_is_adopted(world: World) -> None:
    """A version whose creator died is gone on with; no second one is made."""
    await world.declare("a", ready=False)
    world.stray("a")

    assert await world.told() == [("a", "adopt", "ensure")]
    assert await world.settle() == []
    assert list(world.portal.versions) == ["a:1"]
    assert (await world.record("a")).adopted == 1


async def test_adopting_one_of_many_deletes_and_says_so(world: World) -> None:
    """Of identical versions one is adopted; since the others go with it, the line counts as destructive."""
    await world.declare("a", ready=False)
    for _ in range(3):
        world.stray("a")

    adopt, tail = await world.steps()

    assert (adopt.line.kind, adopt.line.destructive) == ("adopt", True)
    assert adopt.line.would == "Go on with version 1. Delete versions 2, 3, which are the same."
    assert (tail.line.kind, [each.version for each in tail.line.versions]) == ("duplicate", ["2", "3"])
    assert await world.settle() == []
    assert list(world.portal.versions) == ["a:1"]


async def test_a_ghost_is_made_again(world: World) -> None:
    """In the table and gone at the provider: made again, under another number."""
    await world.declare("a")
    world.portal.versions.clear()

    assert await world.told() == [("a", "recreate", "renew")]
    assert await world.settle() == []
    assert (await world.record("a")).usable
    assert list(world.portal.versions) == ["a:2"]


async def test_a_ghost_whose_twin_is_there_is_not_made_again(world: World) -> None:
    """Where the same is there under another number, the agent goes on with that."""
    await world.declare("a")
    world.stray("a")
    del world.portal.versions["a:1"]

    assert await world.told() == [("a", "adopt", "renew")]
    assert await world.settle() == []
    assert list(world.portal.versions) == ["a:2"]


async def test_a_number_that_is_somebody_elses_is_a_ghost(world: World) -> None:
    """The agent was deleted and made again by a person: its version 1 is not ours, and stays."""
    await world.declare("a")
    world.stray("a", "an old one")
    found = world.portal.versions["a:1"]
    world.portal.versions["a:1"] = replace(found, version=replace(found.version, owner="", fingerprint=""), agent="")

    told = await world.told()

    assert told == [("a", "recreate", "renew"), ("a", "orphan", "sweep")]
    assert await world.settle() == []
    assert list(world.portal.versions) == ["a:1", "a:3"]


@pytest.mark.parametrize("keep_mark", [False, True])
async def test_an_edit_on_top_is_told_and_left_alone(world: World, keep_mark: bool) -> None:
    """A person's version is never deleted, whether or not the portal took our mark along; runs go on with ours."""
    await world.declare("a")
    world.portal.edit("a", keep_mark=keep_mark)

    (step,) = await world.steps()

    assert (step.line.kind, step.line.action, step.line.destructive) == ("changed", "none", False)
    assert step.line.why == "Somebody else made version 2; runs go on with version 1."
    assert await world.settle() == [("a", "changed", "none")]
    assert list(world.portal.versions) == ["a:1", "a:2"]


async def test_an_edit_below_ours_is_history(world: World) -> None:
    """Once a version of ours is on top of it, an edit changes nothing for anybody."""
    await world.declare("a", "One.")
    world.portal.edit("a")
    await world.declare("a", "Two.")

    assert await world.told() == []


async def test_a_version_that_was_itself_changed_is_made_again(world: World) -> None:
    """The spoiled one is no longer ours to delete; the agent gets a new one."""
    await world.declare("a")
    version = (await world.record("a")).version
    assert version is not None
    world.portal.spoil(version)

    assert await world.told() == [("a", "changed", "renew")]
    assert await world.settle() == []
    assert list(world.portal.versions) == ["a:1", "a:2"]
    assert world.portal.removed == []


async def test_an_agent_nobody_knows_is_an_orphan(world: World) -> None:
    """Ours by its mark, unknown to the table: deleted when that is asked for."""
    world.stray("lost")

    (step,) = await world.steps()

    assert (step.line.kind, step.line.action, step.line.destructive) == ("orphan", "sweep", True)
    assert step.line.why == "It carries our mark, but there is no such agent."
    assert await world.settle() == []
    assert world.portal.versions == {}


async def test_identical_versions_are_a_tail(world: World) -> None:
    """Only the one that the record holds is kept; another spec's, which nobody holds, is an orphan."""
    await world.declare("a")
    world.stray("a")
    world.stray("a", "never recorded")
    world.stray("a")

    told = [(step.line.kind, [each.version for each in step.line.versions]) for step in await world.steps()]

    assert told == [("orphan", ["3"]), ("duplicate", ["2", "4"])]
    assert await world.settle() == []
    assert list(world.portal.versions) == ["a:1"]


async def test_a_long_tail_takes_several_lines(world: World) -> None:
    """No operation grows beyond what a signal can carry."""
    await world.declare("a")
    for _ in range(120):
        world.stray("a")

    steps = await world.steps()

    assert [len(step.line.versions) for step in steps] == [50, 50, 20]
    assert steps[0].line.would == "Delete versions 2, 3, 4, 5, 46 more."
    assert await world.settle() == []
    assert list(world.portal.versions) == ["a:1"]


async def test_a_copy_of_our_mark_under_another_name_is_left_alone(world: World) -> None:
    """Somebody duplicated the agent in the portal with everything in its metadata: it is theirs."""
    await world.declare("a")
    made = world.portal.versions["a:1"]
    copy = world.portal.put("a-copy", owner="us", made_from=made.version.fingerprint, intact=True)
    world.portal.versions[copy.id] = replace(made, version=copy)

    (step,) = await world.steps()

    assert (step.line.kind, step.line.action) == ("changed", DriftAction.NONE)
    assert step.line.why == "'a-copy' carries our mark, but the agent was never called so there: somebody copied it."
    assert await world.settle() == [("a", "changed", "none")]
    assert "a-copy:1" in world.portal.versions


async def test_what_is_put_away_or_switched_off_is_not_brought_back(world: World) -> None:
    """A retired agent, one that is disabled, and a deleted one: nothing is missing of them."""
    for name in ("retired", "disabled", "deleted"):
        await world.declare(name)
    admin = world.services.agents.administration
    await admin.retire("default", "retired", world.signals)
    await admin.switch("default", "disabled", world.signals, enabled=False)
    await admin.delete("default", "deleted", world.signals)
    world.portal.versions.clear()

    stored = await world.plans.make("default")

    assert (stored.lines, stored.summary.unchanged) == (0, 2)


async def test_a_deletion_that_never_arrived_is_finished(world: World) -> None:
    """Deleted here and still there: an orphan, which goes when that is asked for."""
    await world.declare("a")
    await world.services.agents.catalog.delete("default", "a")

    (step,) = await world.steps()

    assert (step.line.kind, step.line.action, step.line.destructive) == ("orphan", "remove", True)
    assert await world.settle() == []
    assert world.portal.versions == {}


async def test_a_provider_that_is_not_connected_has_no_drift(world: World) -> None:
    """Its agents are left out, and the plan says so."""
    await world.declare("a")
    world.portal.versions.clear()
    world.portal.failing = unconfigured()

    stored = await world.plans.make("default")

    assert (stored.lines, stored.summary.unchanged) == (0, 0)
    assert stored.summary.unseen == {"foundry": "provider_not_configured"}


async def test_a_provider_that_the_app_has_lost_has_no_drift() -> None:
    """An extension that is not loaded any more keeps no other agent from being compared, nor any other workspace."""
    app = App()
    await app.declare()
    await app.services.agents.administration.prewarm("default", "bot", app.signals)
    await app.declare("chat", spec(provider="openai"))
    cast("dict[str, Any]", app.services.agents.providers).pop("offline")

    stored = await app.services.drift.plans.make("default")

    assert [step.line.agent for step in await app.services.drift.plans.steps(stored, 0, 10)] == ["chat"]
    assert stored.summary.unseen == {"foundry": "provider_not_configured", "offline": "unknown_provider"}
    assert (await app.services.drift.plans.reconcile())["default"].counts == {"create": 1}


async def test_half_a_look_makes_no_plan(world: World) -> None:
    """When the provider fails, everything would look gone; there is no plan then."""
    await world.declare("a")
    world.portal.failing = Unavailable(code="provider_unavailable")

    with pytest.raises(Unavailable):
        await world.plans.make("default")


async def test_providers_without_an_inventory_have_no_ghosts() -> None:
    """An OpenAI-compatible endpoint keeps no agents, so none is missing there; what was never used is still named."""
    app = App()
    await app.declare("chat", spec(provider="openai"))
    await app.services.agents.administration.prewarm("default", "chat", app.signals)
    await app.declare("unused", spec(provider="openai"))
    plans = app.services.drift.plans

    stored = await plans.make("default")

    assert [step.line.agent for step in await plans.steps(stored, 0, 10)] == ["unused"]
    assert stored.summary.unchanged == 1
    assert stored.summary.unseen == {"foundry": "provider_not_configured"}


async def test_offline_agents_are_compared_like_any(world: World) -> None:
    """The offline provider keeps its agents in a table, from which they can vanish, too."""
    app = App()
    await app.declare()
    await app.services.agents.administration.prewarm("default", "bot", app.signals)
    assert (await app.services.drift.plans.make("default")).lines == 0
    await app.tables.commit(TABLE, [Delete("bot", "1")])

    stored = await app.services.drift.plans.make("default")
    (step,) = await app.services.drift.plans.steps(stored, 0, 10)

    assert (step.line.kind, step.line.why) == ("recreate", "Version 1 is gone.")
