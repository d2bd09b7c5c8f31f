"""The rules that are there without being set, and rules that name what is not there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from adapters.memory_tables import MemoryTables
from bootstrap.services import Services
from kernel.errors import Conflict, EtagMismatch, InvalidInput
from kernel.tables import Span, every
from kernel.timer_status import TimerRun
from lifecycle.approvals.approval import ApprovalTerms, RunRef, Subject, requested
from lifecycle.approvals.store import Record
from lifecycle.status.health_rules import Component
from lifecycle.status.health_rules import alerts as alerts_component
from llmops.alerts.alert_rules import AlertRule
from llmops.alerts.defaults import default_rules
from llmops.budgets.budget_rules import Amounts, Budget, CostAttribution, Limit, Scope, applying
from llmops.budgets.reservations import ReservationRequest, Settlement
from llmops.budgets.waiting_run_index import BudgetWait
from llmops.facts.fact_store import Facts
from llmops.notifications.channels import ChannelRequest
from tests.lifecycle.doubles import CountingTables, ManualClock, quick_settings, spec
from tests.lifecycle.teams.app import team_app
from tests.llmops.conftest import call, fact, intent
from tests.llmops.performance.makers import failure, outcome

DEFAULTS = default_rules(latency_ms=30_000)
HOOK = "http://127.0.0.1:9/hook"


class World:
    """An app over some tables, and its alerts."""

    def __init__(self, tables: Any = None, **settings: Any) -> None:
        self.tables = MemoryTables() if tables is None else tables
        self.clock = ManualClock()
        self.app = Services(self.tables, quick_settings(WEBHOOKS_ALLOW_PRIVATE=True, **settings), self.clock)

    async def channel(self, name: str = "ops", *events: str) -> None:
        await self.app.notifications.channels.put("default", name, ChannelRequest(HOOK, events=events or ("*",)))

    async def fired(self) -> list[str]:
        """Evaluate, and return the names of the rules that have fired so far."""
        await self.app.alerts.evaluator.evaluate()
        return sorted(firing.alert for firing in (await self.app.alerts.store.fired("default", 100))[0])

    async def rows(self) -> list[str]:
        return [row.key async for row in every(self.tables, "alerts", Span(" ", partition_before="~"))]


def rule(**fields: Any) -> AlertRule:
    return AlertRule.model_validate({"metric": "runs", "condition": "gt", "threshold": 1} | fields)


async def _slow(world: World) -> None:
    for n in range(5):
        await Facts(world.tables).record(outcome(f"r{n}", at=world.clock(), total_ms=40_000))


async def _failing(world: World) -> None:
    for n in range(19):
        await Facts(world.tables).record(outcome(f"r{n}", at=world.clock()))
    for n in range(2):
        await Facts(world.tables).record(failure(f"bad{n}", at=world.clock()))


async def _dead(world: World) -> None:
    await Facts(world.tables).record(failure("dead", at=world.clock(), dead=True))


async def _unpriced(world: World) -> None:
    await Facts(world.tables).record(fact("r", cost_micro_usd=None, at=world.clock()))


async def _unmetered(world: World) -> None:
    await Facts(world.tables).record(fact("r", calls=(call(1, outcome="unmetered"),), at=world.clock()))


async def _budget(world: World) -> None:
    budget = Budget(Scope("workspace"), (Limit("tokens", "day", 100),))
    await world.app.budgets.store.put("default", budget, None)
    now, who = world.clock(), CostAttribution("default", "bot", "s", "r")
    spent = Amounts(tokens=95)
    ask = ReservationRequest(intent(), spent, applying([budget], who, now), now + timedelta(hours=1))
    hold = (await world.app.budgets.counters.change("default", None, ask)).hold
    assert hold is not None
    await world.app.budgets.counters.change("default", Settlement(hold, spent), None)


async def _waiting(world: World) -> None:
    await world.app.budgets.waits.enter(
        BudgetWait(CostAttribution("default", "bot", "s", "r", ""), "budget_exceeded", Amounts(), "m")
    )
    world.clock.move(hours=1, seconds=1)


async def _undecided(world: World) -> None:
    place = RunRef("default", "bot", "s", "r")
    subject = Subject("tool", "pay", "c", "0" * 64, "1", "the tool")
    await world.app.approvals.store.add([Record(requested(place, subject, ApprovalTerms(), 0, world.clock()), "{}")])
    world.clock.move(hours=1, seconds=1)


async def _person(world: World) -> None:
    app = await team_app(world.tables)
    await app.answered("a person, please")
    await app.aclose()
    world.clock.move(hours=1, seconds=1)


async def _timer(world: World) -> None:
    await world.app.events.timer_statuses.note([TimerRun("prune", world.clock(), failure="x")])


@pytest.mark.parametrize(
    ("name", "happen"),
    [
        ("default-approvals", _undecided),
        ("default-budget", _budget),
        ("default-dead-letters", _dead),
        ("default-error-rate", _failing),
        ("default-latency", _slow),
        ("default-people", _person),
        ("default-timers", _timer),
        ("default-unmetered", _unmetered),
        ("default-unpriced", _unpriced),
        ("default-waiting", _waiting),
    ],
)
async def test_each_default_rule_fires(name: str, happen: Callable[[World], Awaitable[None]]) -> None:
    """In a workspace that has set none: it is told to its channels, and resolves when that is over or switched off."""
    world = World()
    await world.channel()
    before = await world.fired()
    await happen(world)
    fired = await world.fired()
    await world.app.alerts.store.put("default", name, DEFAULTS[name].model_copy(update={"enabled": False}))
    await world.fired()

    (firing,) = [each for each in (await world.app.alerts.store.fired("default", 9))[0] if each.alert == name]
    assert (before, name in fired, firing.resolution) == ([], True, "disabled")
    assert name in DEFAULTS


async def test_nothing_is_stored_of_default_rules_until_they_fire() -> None:
    """However often they are evaluated; and then once, whoever evaluates."""
    world = World(CountingTables())
    await world.channel()
    for _ in range(3):
        await world.fired()
    quiet = await world.rows()
    await _dead(world)
    for _ in range(3):
        await world.fired()

    assert quiet == []
    assert [key.split("!")[0] for key in await world.rows()] == ["fired", "state"]


async def test_a_workspace_sets_a_default_rule_otherwise_and_gets_it_back() -> None:
    """Under its name; it is listed with all others, in pages, and can be switched off, not removed."""
    world = World()
    alerts, mine = world.app.alerts.store, rule(threshold=3)
    listed = await alerts.list("default", 100)
    default = await alerts.get("default", "default-latency")
    with pytest.raises(Conflict) as refused:
        await alerts.delete("default", "default-latency")
    with pytest.raises(EtagMismatch):
        await alerts.put("default", "default-latency", mine, '"7"')
    same, new = await alerts.put("default", "default-latency", default.rule)
    changed, also_new = await alerts.put("default", "default-latency", mine, default.etag)
    await alerts.put("default", "a", mine)
    names = list[str]()
    after: str | None = None
    while True:
        page, after = await alerts.list("default", 3, after)
        names += [alert.name for alert in page]
        if after is None:
            break
    await alerts.delete("default", "default-latency", changed.etag)
    await world.fired()

    assert [alert.name for alert in listed[0]] == sorted(DEFAULTS)
    assert all(alert.default and alert.created_at is None for alert in listed[0])
    assert refused.value.code == "default_alert"
    assert (same, new, also_new, changed.default) == (default, False, False, False)
    assert names == sorted([*DEFAULTS, "a"])
    assert await alerts.get("default", "default-latency") == default


async def test_a_setting_switches_the_default_rules_off() -> None:
    """They are listed as switched off, and a workspace can still have one of its own."""
    world = World(ALERT_DEFAULTS=False)
    await world.channel()
    await _dead(world)
    await _timer(world)
    off = await world.fired()
    await world.app.alerts.store.put("default", "default-timers", DEFAULTS["default-timers"])

    assert off == []
    assert await world.fired() == ["default-timers"]
    listed, _ = await world.app.alerts.store.list("default", 100)
    assert [alert.name for alert in listed if alert.rule.enabled] == ["default-timers"]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"channels": ["ops"]}, {}),
        ({"channels": ["ops", "nobody"]}, {"/channels/1": "there is no such channel; there are: ops"}),
        ({"agent": "bot"}, {}),
        (
            {"agent": "nobody"},
            {"/agent": "there is no such agent; a name that ends in * is of agents that come later, too"},
        ),
        (
            {"agent": "gone"},
            {"/agent": "there is no such agent; a name that ends in * is of agents that come later, too"},
        ),
        ({"agent": "later-*"}, {}),
        ({"agent": "*"}, {}),
    ],
)
async def test_a_rule_names_what_is_there(fields: Mapping[str, Any], wrong: Mapping[str, str]) -> None:
    """An agent or a channel of the workspace; one that is still to come only by a wildcard."""
    world = World()
    await world.channel()
    for name in ("bot", "gone"):
        await world.app.agents.catalog.declare("default", name, spec())
    await world.app.agents.catalog.delete("default", "gone")
    await world.app.agents.catalog.declare("another", "nobody", spec())
    references = world.app.alerts.references
    if not wrong:
        await references.check("default", rule(**fields))
        return
    with pytest.raises(InvalidInput) as refused:
        await references.check("default", rule(**fields))

    assert (refused.value.code, refused.value.fields) == ("unknown_reference", wrong)


async def test_whom_a_rule_reaches() -> None:
    """The channels it names, or those that want alerts; what was removed since makes it misconfigured."""
    world = World()
    await world.channel("ops", "alert.*")
    await world.channel("costs", "budget.*")
    rules = [rule(), rule(channels=["costs"]), rule(channels=["ops", "costs"])]
    before = await world.app.alerts.references.targets("default", rules)
    await world.app.alerts.store.put("default", "mine", rules[1])
    well = (await _component(world)).reason
    await world.app.notifications.channels.delete("default", "costs")
    after = await world.app.alerts.references.targets("default", rules)

    assert [(aim.recipients, aim.missing) for aim in before] == [(["ops"], {}), (["costs"], {}), (["costs", "ops"], {})]
    assert [(aim.recipients, list(aim.missing)) for aim in after] == [
        *((["ops"], []), ([], ["/channels/0"]), (["ops"], ["/channels/1"]))
    ]
    found = await _component(world)
    assert (well, found.health) == ("", "degraded")
    assert found.reason == "rules name what is not there: mine; see GET alerts"


async def _component(world: World) -> Component:
    return alerts_component(await world.app.status.misconfigured_alerts("default"))


async def test_a_wildcard_is_of_all_agents_whose_names_begin_so() -> None:
    """Together, those declared later included, and of no others."""
    world = World(ALERT_DEFAULTS=False)
    await world.app.alerts.store.put("default", "support", rule(agent="support-*", threshold=2))
    await world.app.alerts.store.put("default", "costs", rule(agent="support-*", metric="cost_today_usd", threshold=0))
    for agent in ("support-a", "support-b", "sales", "support"):
        await Facts(world.tables).record(outcome(agent, agent=agent, at=world.clock()))
    before = await world.fired()
    await Facts(world.tables).record(outcome("later", agent="support-later", at=world.clock()))

    assert before == ["costs"]
    assert await world.fired() == ["costs", "support"]
    for none in ("support-**", "*-a", "Support-*", "-*"):
        with pytest.raises(ValidationError):
            rule(agent=none)
