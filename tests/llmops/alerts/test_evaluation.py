"""Evaluating rules: what changes is recorded and told once, whoever evaluates, and wherever that ends."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import pytest

from adapters.memory_tables import MemoryTables
from bootstrap.services import Services
from kernel.errors import Conflict, EtagMismatch, NotFound, Unavailable
from kernel.journal import SHARDS, Journal
from kernel.tables import Insert, Span, Tables, Upsert, every
from lifecycle.drift.drift_plan import DriftKind
from lifecycle.drift.plan_store import PlanStore, Summary
from lifecycle.registry.agent_counts import change_row
from llmops.alerts.alert_evaluation import Evaluated, Evaluator
from llmops.alerts.alert_rules import AlertRule
from llmops.alerts.current_values import Sources
from llmops.alerts.store import MOST, AlertStore
from llmops.facts.fact_store import Facts
from llmops.notifications.notification import NOTIFICATION, Notification
from llmops.notifications.outbox import Outbox
from llmops.reports.daily import DailyCosts
from tests.lifecycle.doubles import CountingTables, Crash, Fate, FatefulTables, ManualClock, quick_settings
from tests.llmops.conftest import fact
from tests.llmops.performance.makers import failure, outcome


def sources(tables: Tables, clock: ManualClock | None = None, costs: DailyCosts | None = None) -> Sources:
    """Return where metrics come from, over these tables."""
    app = Services(tables, quick_settings(alert_defaults=False), clock or ManualClock())
    return replace(app.alerts.sources, costs=costs) if costs else app.alerts.sources


class World:
    """Rules, what they look at and what they tell, over some tables."""

    def __init__(self, tables: Tables | None = None, clock: ManualClock | None = None) -> None:
        self.tables = MemoryTables() if tables is None else tables
        self.clock = clock or ManualClock()
        self.alerts = AlertStore(self.tables, self.clock)

    def evaluator(self, fate: Fate | None = None) -> Evaluator:
        """Return an evaluator; each call another process's, whose writes can be struck."""
        tables = self.tables if fate is None else FatefulTables(self.tables, fate)
        return Evaluator(
            AlertStore(tables, self.clock),
            sources(tables, self.clock),
            Outbox(tables, self.clock),
            Journal(tables),
            self.clock,
        )

    async def rule(self, name: str = "errors", workspace: str = "default", **fields: Any) -> None:
        values = {"metric": "error_rate", "condition": "gt", "threshold": 0.5, "window_s": 600, "cooldown_s": 0}
        await self.alerts.put(workspace, name, AlertRule.model_validate(values | fields))

    async def fail(self, run: str = "bad", count: int = 3, **fields: Any) -> None:
        for n in range(count):
            await Facts(self.tables).record(failure(f"{run}-{n}", at=self.clock(), **fields))

    async def succeed(self, run: str = "good", count: int = 5, **fields: Any) -> None:
        for n in range(count):
            await Facts(self.tables).record(outcome(f"{run}-{n}", at=self.clock(), **fields))

    async def told(self) -> list[Notification]:
        rows = [row async for row in every(self.tables, "outbox", Span.prefix("outbox", "note!"))]
        return sorted((NOTIFICATION.load(row.text("notification")) for row in rows), key=lambda note: note.at)

    async def events(self, workspace: str = "default") -> list[str]:
        journal = Journal(self.tables)
        return [event.name for shard in range(SHARDS) for _, event in await journal.read(workspace, shard, 0, 1000)]

    async def check_told_once(self) -> None:
        """Check that one alert fired and resolved, and that it is recorded and told once."""
        firings, _ = await self.alerts.fired("default", 100)
        assert [(each.alert, each.resolution) for each in firings] == [("errors", "recovered")]
        assert [note.event for note in await self.told()] == ["alert.fired", "alert.resolved"]
        assert await self.events() == ["alert.fired", "alert.resolved"]


async def test_it_fires_and_resolves_once() -> None:
    """However often it is evaluated; in the history, in the stream and to the channels."""
    world = World()
    await world.rule(channels=["ops"], description="Look at the runbook.", agent="bot")
    await world.fail()
    fired = [await world.evaluator().evaluate() for _ in range(3)]
    world.clock.move(minutes=1)
    await world.succeed()
    resolved = [await world.evaluator().evaluate() for _ in range(3)]

    await world.check_told_once()
    first, second = await world.told()
    assert fired == [Evaluated(1, 1, 0, 0), Evaluated(1, 0, 0, 0), Evaluated(1, 0, 0, 0)]
    assert [each.resolved for each in resolved] == [1, 0, 0]
    assert first.title == "errors: share of failed runs above 50.0%"
    assert first.text == "The share of failed runs of agent bot is 100.0%, above 50.0%. Look at the runbook."
    assert (first.severity, second.severity) == ("warning", "info")
    assert second.text == "The share of failed runs of agent bot is 37.5%. Look at the runbook."
    assert second.facts["Lasted"] == "60 s"


async def test_no_data_is_said_and_resolves_nothing() -> None:
    """Nobody knows that it is over when nobody asks the agent."""
    world = World()
    await world.rule()
    before = await world.evaluator().evaluate()
    await world.fail()
    await world.evaluator().evaluate()
    world.clock.move(hours=3)
    after = await world.evaluator().evaluate()

    standing = await world.alerts.state("default", "errors")
    assert (before, after) == (Evaluated(1, 0, 0, 1), Evaluated(1, 0, 0, 1))
    assert standing is not None
    assert (standing.state.status, standing.state.no_data, standing.state.value) == ("firing", True, 1.0)


@pytest.mark.parametrize("error", [Crash, Unavailable])
@pytest.mark.parametrize("after", [False, True])
async def test_dying_at_any_write_tells_each_change_once(
    error: type[BaseException],
    after: bool,
) -> None:
    """Folding, recording, telling, noting that it is told: struck at each, then evaluated by somebody else."""
    for change in ("fire", "resolve"):
        for number in range(1, 12):
            world = World()
            await world.rule()
            await world.fail()
            if change == "resolve":
                await world.evaluator().evaluate()
                world.clock.move(minutes=1)
                await world.succeed()
            with contextlib.suppress(Crash, Unavailable):
                await world.evaluator(Fate(number, after, error)).evaluate()
            await world.evaluator().evaluate()
            if change == "fire":
                world.clock.move(minutes=1)
                await world.succeed()
                await world.evaluator().evaluate()
            await world.check_told_once()


async def test_a_change_that_was_not_told_is_told_though_things_changed_since() -> None:
    """Died after recording that it fired; when somebody comes back, the figure is good again."""
    world = World()
    await world.rule()
    await world.fail()
    for number in range(1, 12):
        if (await world.alerts.fired("default", 1))[0]:
            break
        with contextlib.suppress(Crash):
            await world.evaluator(Fate(number, after=True)).evaluate()
    assert await world.told() == []
    world.clock.move(minutes=1)
    await world.succeed()
    await world.evaluator().evaluate()

    await world.check_told_once()


async def test_several_at_once_fire_once() -> None:
    """They collide, and only one of them is right."""
    world = World()
    await world.rule()
    await world.fail()
    await asyncio.gather(*(world.evaluator().evaluate() for _ in range(4)))
    world.clock.move(minutes=1)
    await world.succeed()
    await asyncio.gather(*(world.evaluator().evaluate() for _ in range(4)))
    await world.evaluator().evaluate()

    await world.check_told_once()


@pytest.mark.parametrize("how", ["disabled", "deleted"])
async def test_what_is_switched_off_or_removed_resolves(how: str) -> None:
    """Its history stays; a rule of the same name is another one."""
    world = World()
    await world.rule()
    await world.fail()
    await world.evaluator().evaluate()
    world.clock.move(minutes=1)
    if how == "deleted":
        await world.alerts.delete("default", "errors")
        assert await world.alerts.list("default", 10) == ([], None)
    else:
        await world.rule(enabled=False)
    for _ in range(2):
        await world.evaluator().evaluate()

    (firing,) = (await world.alerts.fired("default", 10))[0]
    assert (firing.resolution, firing.resolved_value) == (how, None)
    assert [note.event for note in await world.told()] == ["alert.fired", "alert.resolved"]
    rules = [alert async for alert in world.alerts.all()]
    assert len(rules) == (0 if how == "deleted" else 1)
    await world.rule()
    await world.evaluator().evaluate()
    assert len((await world.alerts.fired("default", 10))[0]) == 2


async def test_a_rule_that_looks_at_something_else_resolves_without_its_value() -> None:
    """A firing is of the rule as it was: another metric's value is none of it."""
    world = World()
    await world.rule()
    await world.fail()
    await world.evaluator().evaluate()
    world.clock.move(minutes=1)
    await world.rule(metric="runs", threshold=100)
    await world.evaluator().evaluate()

    (firing,) = (await world.alerts.fired("default", 10))[0]
    assert (firing.metric, firing.resolution, firing.resolved_value) == ("error_rate", "recovered", None)
    assert (await world.told())[-1].text == "The rule was changed."


async def test_a_rule_whose_firing_cannot_be_read_resolves_and_fires_again() -> None:
    """Only the notification of that end is missing, which nobody could write."""
    world = World()
    await world.rule()
    await world.fail()
    await world.evaluator().evaluate()
    [row] = [row async for row in every(world.tables, "alerts", Span.prefix("default", "fired!"))]
    await world.tables.commit("alerts", [Upsert(replace(row, values={**row.values, "firing": "{"}))])
    world.clock.move(minutes=1)
    await world.succeed()
    resolved = await world.evaluator().evaluate()
    world.clock.move(minutes=1)
    await world.fail("again", 20)
    fired = await world.evaluator().evaluate()

    assert (resolved.resolved, fired.fired) == (1, 1)
    assert [note.event for note in await world.told()] == ["alert.fired", "alert.fired"]


async def test_all_agents_together_or_one(tables: MemoryTables) -> None:
    """And no other workspace's."""
    world = World(tables)
    await world.rule("all")
    await world.rule("mine", agent="bot")
    await world.rule("theirs", agent="other")
    await world.rule("elsewhere", workspace="another")
    await world.fail(agent="other")
    await world.succeed(count=1)
    await world.evaluator().evaluate()

    assert sorted(firing.alert for firing in (await world.alerts.fired("default", 10))[0]) == ["all", "theirs"]
    assert await world.alerts.fired("another", 10) == ([], None)


async def test_runs_a_minute_are_of_the_time_that_they_were_counted_in() -> None:
    """Runs are counted by whole minutes, so for longer than the window: a steady rate is not overstated."""
    world = World()
    await world.rule(metric="runs_per_minute", condition="lt", threshold=0, window_s=60)
    for n in range(12):
        await world.succeed(f"steady-{n}", count=1)
        world.clock.move(seconds=10)
    world.clock.move(seconds=-1)
    await world.evaluator().evaluate()

    status = await world.alerts.state("default", "errors")
    assert status is not None
    assert status.state.value == pytest.approx(6, rel=0.1)


async def test_the_spend_of_the_day_is_the_ledger_s(tables: MemoryTables) -> None:
    """In USD; of one agent or all."""
    world = World(tables)
    for n in range(3):
        await Facts(tables).record(fact(f"r{n}", agent="bot" if n else "other", cost_micro_usd=1_000_000))
    await world.rule("all", metric="cost_today_usd", threshold=2.5)
    await world.rule("bot", metric="cost_today_usd", threshold=2.5, agent="bot")
    await world.rule("low", metric="cost_today_usd", threshold=1.5, agent="bot")
    await world.evaluator().evaluate()

    firings, _ = await world.alerts.fired("default", 10)
    assert sorted((firing.alert, firing.value) for firing in firings) == [("all", 3.0), ("low", 2.0)]


async def test_what_happens_to_agents_at_their_providers(tables: MemoryTables) -> None:
    """Too many versions made, failures to delete them, and what the latest look for drift found."""
    world = World(tables)
    limits = {"versions_created": 9, "delete_failures": 0, "create_failures": 0, "drift": 3, "leaks": 2}
    for metric, threshold in limits.items():
        await world.rule(metric.replace("_", "-"), metric=metric, threshold=threshold, window_s=3600)
    before = await world.evaluator().evaluate()
    world.clock.move(hours=-3)
    old = change_row("default", {"step.create_failed": 5}, world.clock())
    world.clock.move(hours=3)
    new = [change_row("default", {"step.created": 5, "step.delete_failed": n}, world.clock()) for n in range(2)]
    await tables.commit("agents", [Insert(row) for row in (old, *new)])
    await PlanStore(tables).note(
        "default",
        Summary(
            world.clock(), {DriftKind.ORPHAN: 2, DriftKind.DUPLICATE: 1, DriftKind.CHANGED: 1, DriftKind.CREATE: 9}
        ),
    )
    after = await world.evaluator().evaluate()

    firings, _ = await world.alerts.fired("default", 10)
    assert (before.fired, before.no_data) == (0, 2), "nobody has looked for drift yet"
    assert (after.fired, after.no_data) == (4, 0)
    assert sorted((each.metric, each.value) for each in firings) == [
        ("delete_failures", 1.0),
        ("drift", 4.0),
        ("leaks", 3.0),
        ("versions_created", 10.0),
    ]


async def test_rules_that_look_at_the_same_read_it_once() -> None:
    """A hundred rules over one agent's window cost one look at it."""
    tables = CountingTables()
    world = World(tables)
    for n in range(100):
        await world.rule(f"r{n}", agent="bot", threshold=0.9)
    await world.evaluator().evaluate()
    tables.reset()
    await world.evaluator().evaluate()

    assert tables.operations["query outcomes"] <= 8 * 3 + 2 + 2
    assert tables.operations["commit alerts"] == 0, "nothing changed, nothing is written"


async def test_one_rule_s_failure_keeps_no_other_back(tables: MemoryTables) -> None:
    """It is raised in the end, so that it is seen."""
    world = World(tables)
    await world.rule("a", agent="bot")
    await world.rule("b", metric="cost_today_usd", threshold=0)
    await world.fail()

    class Broken(DailyCosts):
        async def sums(self, *args: Any, **more: Any) -> Any:
            raise Unavailable

    clock = world.clock
    broken = sources(tables, clock, Broken(tables))
    evaluator = Evaluator(world.alerts, broken, Outbox(tables, clock), Journal(tables), clock)
    with pytest.raises(Unavailable):
        await evaluator.evaluate()
    assert [firing.alert for firing in (await world.alerts.fired("default", 10))[0]] == ["a"]


async def test_rules_are_guarded_by_their_etag() -> None:
    """As agents are; and there are only so many."""
    world = World()
    rule = AlertRule(metric="runs", condition="gt", threshold=1)
    alert, new = await world.alerts.put("default", "a", rule)
    assert (await world.alerts.put("default", "a", rule), new) == ((alert, False), True)
    other = rule.model_copy(update={"threshold": 2.0})
    for refused in (
        world.alerts.put("default", "a", other, '"9"'),
        world.alerts.put("default", "none", other, "*"),
        world.alerts.delete("default", "a", '"9"'),
    ):
        with pytest.raises(EtagMismatch):
            await refused
    changed, _ = await world.alerts.put("default", "a", other, alert.etag)
    assert changed.etag == '"2"'
    for gone in (world.alerts.get("another", "a"), world.alerts.delete("default", "none")):
        with pytest.raises(NotFound):
            await gone
    for n in range(MOST - 1):
        await world.alerts.put("default", f"r{n}", rule)
    with pytest.raises(Conflict) as full:
        await world.alerts.put("default", "more", rule)
    assert full.value.code == "too_many_alerts"


async def test_lists_in_pages() -> None:
    """Rules by name, firings newest first."""
    world = World()
    for n in range(5):
        await world.rule(f"r{n}", metric="runs", condition="gte", threshold=0)
    for n in range(4):
        world.clock.move(minutes=1)
        await world.rule(f"r{n}", metric="runs", condition="gte", threshold=0, enabled=n % 2 == 0)
        await world.evaluator().evaluate()
    names, fired = list[str](), list[Any]()
    after: str | None = None
    while True:
        page, after = await world.alerts.list("default", 2, after)
        names += [alert.name for alert in page]
        if after is None:
            break
    while True:
        firings, after = await world.alerts.fired("default", 2, after)
        fired += [firing.fired_at for firing in firings]
        if after is None:
            break

    assert names == [f"r{n}" for n in range(5)]
    assert fired == sorted(fired, reverse=True)
    assert len(fired) == 5


async def test_what_still_fires_is_found_behind_any_number_of_firings() -> None:
    """By its rule: what others fired and resolved since does not hide it."""
    world = World()
    for name in ("old", "older"):
        await world.rule(name, metric="runs", condition="gte", threshold=0)
    await world.evaluator().evaluate()
    for n in range(8):
        world.clock.move(minutes=30)
        await world.rule("restless", metric="runs", condition="gte", threshold=0, enabled=n % 2 == 0)
        await world.evaluator().evaluate()
    newest, _ = await world.alerts.fired("default", 2)
    both, end = await world.alerts.open_firings("default", 2)
    first, after = await world.alerts.open_firings("default", 1)
    second, last = await world.alerts.open_firings("default", 1, after)

    assert {firing.alert for firing in newest} == {"restless"}
    assert ({firing.alert for firing in both}, end) == ({"old", "older"}, None)
    assert ([*first, *second], last) == (both, None)
    assert await world.alerts.open_firings("another", 2) == ([], None)
