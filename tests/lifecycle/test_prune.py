"""Retiring idle agents: which and why, at a cost in proportion to what is idle."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from kernel.due_index import TABLE as DUE
from kernel.due_index import DueIndex
from kernel.errors import Unavailable
from kernel.tables import Span, every
from lifecycle.registry.actor_operations import RecordUse, Remove, Retire
from lifecycle.registry.agent_checks_due import IDLE
from lifecycle.registry.prune import Action, Verdict
from lifecycle.registry.record import AgentState
from tests.lifecycle.app import App
from tests.lifecycle.doubles import CountingTables, Fate, FatefulProvider, live_versions, make_actor, spec

WEEK = 7 * 86400


@pytest.fixture
def app() -> App:
    return App(CountingTables(), IDLE_AFTER_S=WEEK, KEEP_NEW_FOR_S=3600)


async def ready(app: App, name: str = "bot", workspace: str = "default", **fields: Any) -> None:
    await app.declare(name, spec(**fields), workspace)
    await app.services.agents.resolver.resolve(workspace, name, app.signals)


async def plan(app: App, workspace: str | None = None) -> dict[str, Verdict]:
    return {verdict.agent: verdict for verdict in await app.services.agents.prune.plan(workspace)}


async def state(app: App, name: str = "bot") -> AgentState:
    return (await app.services.agents.catalog.get("default", name)).state


async def test_an_idle_agent_is_retired_and_its_version_deleted(app: App) -> None:
    """The plan says since when it is idle; its version goes after the grace period, and the next run brings it back."""
    await ready(app)
    app.clock.move(days=8)
    verdicts = await app.services.agents.prune.run(app.signals)
    assert [(verdict.agent, verdict.action) for verdict in verdicts] == [("bot", Action.RETIRE)]
    assert "was not used since 2026-11-21" in verdicts[0].reason
    assert (await state(app), len(await live_versions(app.tables))) == (AgentState.IDLE, 1)
    app.clock.move(hours=23)
    assert await app.services.agents.prune.run(app.signals) == []
    app.clock.move(hours=2)
    verdicts = await app.services.agents.prune.run(app.signals)
    assert [(verdict.action, verdict.reason) for verdict in verdicts] == [
        (Action.DELETE, "was retired, and its grace period is over")
    ]
    assert (await state(app), await live_versions(app.tables)) == (AgentState.IDLE, {})
    assert await plan(app) == {}
    run = await app.ask()

    assert run.state == "succeeded"
    assert await state(app) is AgentState.ACTIVE
    assert len(await live_versions(app.tables)) == 1


async def test_a_dry_run_changes_nothing(app: App) -> None:
    """It says the same and writes nothing at all."""
    await ready(app)
    app.clock.move(days=8)
    counting = app.tables
    assert isinstance(counting, CountingTables)
    counting.reset()
    verdicts = await plan(app)

    assert verdicts["bot"].retire
    assert not [name for name in counting.operations if name.startswith("commit")]
    assert await state(app) is AgentState.ACTIVE


async def test_an_agent_is_not_due_before_its_time(app: App) -> None:
    """There is no verdict on what is not due."""
    await ready(app)
    app.clock.move(days=6, hours=23)

    assert await plan(app) == {}


@pytest.mark.parametrize(
    ("make", "reason"),
    [("pinned", "is pinned"), ("new", "was declared only recently"), ("open", "has an open session")],
)
async def test_what_is_wanted_is_kept_and_the_plan_says_why(app: App, make: str, reason: str) -> None:
    """Pinned by a declaration the actor has not followed yet, declared a moment ago, or in a conversation."""
    await ready(app, idle_after_s=60 if make == "new" else None)
    app.clock.move(days=8) if make != "new" else app.clock.move(minutes=5)
    if make == "pinned":
        await app.services.agents.catalog.declare("default", "bot", spec(pinned=True))
    if make == "open":
        await app.services.sessions.start.start("default", "bot")
    verdicts = await plan(app)
    await app.services.agents.prune.run(app.signals)

    assert (verdicts["bot"].retire, verdicts["bot"].reason) == (False, reason)
    assert await state(app) is AgentState.ACTIVE


async def test_a_pinned_agent_is_never_due(app: App) -> None:
    """It costs prune nothing."""
    await ready(app, pinned=True)
    app.clock.move(days=99)

    assert await plan(app) == {}


async def test_a_use_that_may_be_told_late_counts(app: App) -> None:
    """An agent is kept for as long as a use may still be on its way."""
    await ready(app)
    app.clock.move(days=7, seconds=1)
    verdicts = await plan(app)

    assert (verdicts["bot"].retire, verdicts["bot"].reason) == (False, "was used recently")


async def test_a_use_meanwhile_keeps_the_agent(app: App) -> None:
    """Between the plan and the retirement the agent was used: the actor decides, and keeps it."""
    await ready(app)
    app.clock.move(days=8)
    verdict = (await plan(app))["bot"]
    await app.signals.send("default", "bot", RecordUse("use", 1, app.clock.now))
    await app.signals.send("default", "bot", Retire("late", verdict.unused_since))

    assert await state(app) is AgentState.ACTIVE


async def test_an_agent_has_its_own_patience(app: App) -> None:
    """`idle_after_s` of the spec goes before the app's setting, in both directions."""
    await ready(app, "brief", idle_after_s=7200)
    await ready(app, "long", idle_after_s=30 * 86400)
    app.clock.move(hours=4)
    early = await plan(app)
    app.clock.move(days=10)
    late = await plan(app)

    assert {name: verdict.retire for name, verdict in early.items()} == {"brief": True}
    assert set(late) == {"brief"}


async def test_what_a_failed_deletion_left_is_deleted_by_the_next_prune(app: App) -> None:
    """At once, not after another week."""
    await ready(app)
    app.clock.move(days=8)
    provider = app.services.agents.providers["offline"]
    failing = make_actor(app.tables, FatefulProvider(provider, Fate(1, error=Unavailable)), app.clock)
    await failing.handle(None, "default", "bot", Retire("r", app.clock.now))
    assert len(await live_versions(app.tables)) == 1
    verdict = (await plan(app))["bot"]
    fresh = app.services.agents.local_signals()
    await app.services.agents.prune.run(fresh)

    assert (verdict.action, verdict.reason) == (Action.RETIRE, "is retired, but a version was left at the provider")
    assert await live_versions(app.tables) == {}
    assert await plan(app) == {}


async def test_a_deleted_agent_whose_signal_was_lost_is_cleaned_up(app: App) -> None:
    """The declaration is deleted, the actor never heard of it: prune removes what is left."""
    await ready(app)
    await app.services.agents.catalog.delete("default", "bot")
    app.clock.move(days=8)
    verdicts = await app.services.agents.prune.run(app.signals)

    assert [(verdict.retire, verdict.reason) for verdict in verdicts] == [
        (True, "was deleted, but is still at the provider")
    ]
    assert await live_versions(app.tables) == {}


async def test_only_the_asked_workspace_is_pruned(app: App) -> None:
    """One workspace's dry run and run say nothing of, and do nothing to, another's."""
    await ready(app, "one")
    await ready(app, "two", "team")
    app.clock.move(days=8)

    assert set(await plan(app, "team")) == {"two"}
    assert set(await plan(app)) == {"one", "two"}


async def test_prune_costs_what_is_idle_not_what_there_is(app: App) -> None:
    """Of a hundred agents ten are idle: a few reads for each of the ten."""
    counting = app.tables
    assert isinstance(counting, CountingTables)
    for number in range(100):
        await ready(app, f"bot-{number}")
    app.clock.move(days=7)
    for number in range(90):
        await app.signals.send("default", f"bot-{number}", RecordUse(f"use-{number}", 1, app.clock.now))
    app.clock.move(days=1)
    counting.reset()
    verdicts = await app.services.agents.prune.plan()

    assert sum(verdict.retire for verdict in verdicts) == 10
    assert counting.operations.total() <= 10 * 2 + 5
    assert counting.rows_read <= 10 * 4 + 5


async def test_entries_left_over_are_dropped_when_they_are_met(app: App) -> None:
    """A crash can leave an entry too many; it does not stay for ever."""
    await ready(app)
    await app.signals.send("default", "bot", Remove("gone", 2))
    await app.services.agents.prune._idle.add("default", "bot", app.clock.now)
    app.clock.move(hours=2)
    await plan(app)

    assert [row async for row in every(app.tables, DUE, Span("agent!", partition_before="agent!~"))] == []


async def test_an_entry_that_is_ahead_of_its_record_is_kept(app: App) -> None:
    """The actor enters first and writes the record then; a prune in between must not drop the entry."""
    await app.services.agents.catalog.declare("default", "bot", spec(idle_after_s=1))
    await app.services.agents.prune._idle.add("default", "bot", app.clock.now + timedelta(seconds=1))
    app.clock.move(seconds=2)
    await plan(app)

    assert len([row async for row in every(app.tables, DUE, Span("agent!", partition_before="agent!~"))]) == 1


async def test_an_entry_ahead_of_its_record_outlives_the_turn_of_the_hour(app: App) -> None:
    """It is written just before the record that it is for: a timer in between must leave it, and only later drop it."""
    await app.declare("bot")
    index = DueIndex(app.tables, IDLE)
    app.clock.move(minutes=59 - app.clock.now.minute, seconds=59)
    await index.add("default", "bot", app.clock.now)
    left = []
    for seconds in (2, 3600):
        app.clock.move(seconds=seconds)
        await plan(app)
        left.append([entry.name async for entry in index.until(app.clock.now)])

    assert left == [["bot"], []]
