"""Changes of what agents are composed of: what is refused, whom they reach, and what a crash leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from adapters.memory_tables import MemoryTables
from kernel.errors import Conflict, EtagMismatch, InvalidInput, NotFound, TooLarge
from kernel.tables import Row, RowChanged, RowExists, Span, Tables, Upsert, every
from lifecycle.configuration.kinds import CONTENT, OVERRIDES, Kind, Ref
from lifecycle.configuration.layers import AgentConfig
from lifecycle.propagation.item_changes import Changed
from lifecycle.propagation.propagation import SETTLED
from lifecycle.registry.actor_operations import Operation
from lifecycle.registry.catalog import Agent
from lifecycle.specs.spec import AgentSpec
from tests.lifecycle.doubles import CountingTables, Crash, Fate, FatefulTables, ManualClock, make_services, spec

WS = "default"


@dataclass
class Told:
    """Signals that are kept, as effects if they can be struck."""

    fate: Fate = field(default_factory=Fate)
    sent: list[tuple[str, Operation]] = field(default_factory=list[tuple[str, Operation]])

    async def send(self, workspace: str, name: str, operation: Operation) -> None:
        async def do() -> None:
            self.sent.append((name, operation))

        await self.fate.effect(do)


class World:
    """Services over one storage, and short words for what owners do."""

    def __init__(self, tables: Tables | None = None, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.tables = MemoryTables() if tables is None else tables
        self.services = make_services(self.tables, self.clock)
        self.signals = self.services.agents.local_signals()

    async def put(
        self, kind: str, name: str, workspace: str = WS, if_match: str | None = None, **content: Any
    ) -> Changed:
        ref = Ref(Kind(kind), name)
        body = CONTENT[ref.kind].model_validate(content)
        return await self.services.agents.configuration_changes.put(workspace, ref, body, self.signals, if_match)

    async def delete(self, kind: str, name: str, workspace: str = WS) -> None:
        await self.services.agents.configuration_changes.delete(workspace, Ref(Kind(kind), name), self.signals)

    async def declare(self, name: str = "bot", workspace: str = WS, **config: Any) -> Agent:
        wanted = AgentConfig.model_validate(config)
        return (await self.services.agents.administration.declare(workspace, name, wanted, self.signals))[0]

    async def agent(self, name: str = "bot") -> Agent:
        return await self.services.agents.catalog.get(WS, name)

    async def spec(self, name: str = "bot") -> AgentSpec:
        return (await self.agent(name)).declaration.spec

    async def users(self, kind: str, name: str) -> Sequence[str]:
        found, after = await self.services.agents.configuration_changes.dependents(WS, Ref(Kind(kind), name), 200)
        assert after is None
        return [who.name for who in found]

    async def noted(self) -> int:
        return len([row async for row in every(self.tables, "due", Span("configuration!", "configuration!~"))])

    async def settle(self) -> None:
        """Let the timer do all there is to do."""
        self.clock.move(seconds=SETTLED.total_seconds() + 1)
        done = await self.services.agents.propagation.finish(self.signals)
        assert done.complete
        assert await self.noted() == 0


@pytest.fixture
def world() -> World:
    return World()


async def test_an_agent_is_made_of_what_it_names(world: World) -> None:
    """Template over template, the workspace's overrides over both, the agent's own over all."""
    await world.put("template", "base", model="m1", instructions="Base.", labels={"a": "1", "b": "1"})
    await world.put("template", "child", extends="base", more_instructions="Child.", labels={"b": "2"})
    await world.put("overrides", "workspace", model="m2", more_instructions="House rule.", temperature=0.2)
    made = await world.declare(template="child", temperature=0.9)

    assert made.declaration.spec == AgentSpec(
        model="m2", instructions="Base.\n\nChild.\n\nHouse rule.", temperature=0.9, labels={"a": "1", "b": "2"}
    )
    assert made.declaration.sources == {"template:base": 1, "template:child": 1, "overrides:workspace": 1}


async def test_a_plain_spec_is_what_it_was(world: World) -> None:
    """Without overrides nothing is added to it; with them, only what it does not say."""
    plain = spec(instructions="Mine.", provider="offline")
    await world.services.agents.administration.declare(WS, "bot", plain, world.signals)
    assert await world.spec() == plain
    await world.put("overrides", "workspace", provider="openai", model="other", max_output_tokens=7)

    assert await world.spec() == plain.model_copy(update={"max_output_tokens": 7})
    await world.services.agents.configuration_changes.delete(WS, OVERRIDES, world.signals)
    assert await world.spec() == plain


async def test_an_agent_can_be_exactly_a_spec(world: World) -> None:
    """What it was composed of once is not added again, and the overrides are not for it."""
    await world.put("overrides", "workspace", more_instructions="House rule.", max_output_tokens=7)
    composed = (await world.declare(model="m", instructions="Mine.")).declaration.spec
    await world.declare(model="else")
    exactly = AgentConfig.exactly(composed)
    await world.services.agents.administration.declare(WS, "bot", exactly, world.signals)
    await world.put("overrides", "workspace", more_instructions="Another.")

    assert composed.instructions == "Mine.\n\nHouse rule."
    assert await world.spec() == composed


async def test_a_changed_template_provisions_its_agents_again(world: World) -> None:
    """An active agent has its new version when the change is made; a registered one waits for its use."""
    await world.put("template", "base", model="m", instructions="One.")
    await world.put("template", "child", extends="base")
    await world.declare("used", template="child")
    await world.declare("unused", template="base")
    await world.declare("other", model="m")
    await world.services.agents.administration.prewarm(WS, "used", world.signals)
    changed = await world.put("template", "base", model="m", instructions="Two.")

    used, unused, other = [await world.agent(name) for name in ("used", "unused", "other")]
    assert (changed.followed.looked, changed.followed.changed) == (2, 2)
    assert used.ready
    assert used.record is not None
    assert (used.record.created, used.declaration.spec.instructions) == (2, "Two.")
    assert (unused.record, unused.declaration.revision, other.declaration.revision) == (None, 2, 1)


async def test_a_change_that_makes_no_difference_provisions_nothing(world: World) -> None:
    """What an agent says itself hides the template's value: same spec, same revision, no operation."""
    await world.put("template", "base", model="m1")
    await world.declare(template="base", model="mine")
    await world.services.agents.administration.prewarm(WS, "bot", world.signals)
    told = Told()
    ref = Ref(Kind.TEMPLATE, "base")
    await world.services.agents.configuration_changes.put(
        WS, ref, CONTENT[Kind.TEMPLATE].model_validate({"model": "m2"}), told
    )
    again = await world.put("template", "base", model="m2")

    assert told.sent == []
    assert (await world.agent()).declaration.revision == 1
    assert (await world.agent()).declaration.sources["template:base"] == 2
    assert (again.item.version, again.new, again.followed.looked) == (2, False, 0)


async def test_a_change_of_any_kind_reaches_who_chose_it(world: World) -> None:
    """A personality chosen by a template, and one chosen by the overrides; a capability switched on, not off."""
    await world.put("personality", "p", modifiers=["One."])
    await world.put("capability", "c", instructions="One.")
    await world.put("template", "t", model="m", personality="p", capabilities={"c": True})
    await world.declare("on", template="t")
    await world.declare("off", template="t", capabilities={"c": False}, personality=None)
    await world.put("personality", "p", modifiers=["Two."])
    await world.put("capability", "c", instructions="Two.")

    assert (await world.spec("on")).instructions == "Two.\n\n# How you write\n- Two."
    assert (await world.agent("off")).declaration.revision == 1
    assert await world.users("capability", "c") == ["on", "t"]
    await world.put("personality", "q", modifiers=["Q."])
    await world.put("overrides", "workspace", personality="q")
    assert "Q." in (await world.spec("on")).instructions
    await world.put("personality", "q", modifiers=["R."])
    assert "R." in (await world.spec("on")).instructions
    assert (await world.spec("off")).instructions == ""


async def test_an_agent_that_names_something_else_is_left_alone(world: World) -> None:
    """What it named before can change, and be deleted, without it."""
    for name in ("one", "two"):
        await world.put("template", name, model=name)
    await world.declare(template="one")
    await world.declare(template="two")
    changed = await world.put("template", "one", model="else")

    assert changed.followed.changed == 0
    assert (await world.spec()).model == "two"
    await world.delete("template", "one")
    await world.settle()
    assert (await world.spec()).model == "two"


@pytest.mark.parametrize(
    ("config", "code", "pointer"),
    [
        ({"template": "none"}, "unknown_template", "/template"),
        ({"model": "m", "personality": "none"}, "unknown_personality", "/personality"),
        ({"model": "m", "capabilities": {"none": True}}, "unknown_capability", "/capabilities/none"),
        ({"template": "bare"}, "invalid_input", "/model"),
        ({"template": "theirs"}, "unknown_template", "/template"),
        ({"model": "m", "tools": ["telepathy"]}, "unknown_tool", "/tools/0"),
    ],
)
async def test_what_cannot_be_declared(world: World, config: dict[str, Any], code: str, pointer: str) -> None:
    """What there is not, also because it is another workspace's, and what comes to no spec; nothing is declared."""
    await world.put("template", "bare", instructions="No model.")
    await world.put("template", "theirs", workspace="elsewhere", model="m")
    with pytest.raises(InvalidInput) as caught:
        await world.declare(**config)

    assert (caught.value.code, list(caught.value.fields)) == (code, [pointer])
    assert await world.services.agents.catalog.find(WS, "bot") is None


async def test_a_circle_is_named_and_refused(world: World) -> None:
    """Of one, of three, and through a change of a template in the middle."""
    with pytest.raises(InvalidInput) as alone:
        await world.put("template", "a", extends="a")
    await world.put("template", "a", model="m")
    await world.put("template", "b", extends="a")
    await world.put("template", "c", extends="b")
    with pytest.raises(InvalidInput) as three:
        await world.put("template", "a", extends="c")

    assert {alone.value.code, three.value.code} == {"template_cycle"}
    assert "c → b → a → c" in three.value.detail
    assert (await world.services.configuration.items.get(WS, Ref(Kind.TEMPLATE, "a"))).version == 1


async def test_a_chain_has_an_end(world: World) -> None:
    """Eight templates, not nine."""
    await world.put("template", "t1", model="m")
    for at in range(2, 9):
        await world.put("template", f"t{at}", extends=f"t{at - 1}")
    await world.declare(template="t8")
    await world.put("template", "t9", extends="t8")
    with pytest.raises(InvalidInput) as caught:
        await world.declare("deep", template="t9")

    assert caught.value.code == "template_chain_too_long"


async def test_a_change_that_an_agent_could_not_follow_is_refused_with_the_list(world: World) -> None:
    """Together too long for one of two agents: it is named with the reason, and nothing has changed."""
    await world.put("template", "t", model="m", instructions="Short.")
    await world.declare("fits", template="t")
    for at in range(30):
        await world.declare(f"full{at:02}", template="t", more_instructions="x" * 20_000)
    with pytest.raises(Conflict) as caught:
        await world.put("template", "t", model="m", instructions="y" * 90_000)

    assert caught.value.code == "dependents_invalid"
    assert "full00" in caught.value.detail
    assert "and 10 more" in caught.value.detail
    assert "fits" not in caught.value.detail
    assert caught.value.fields["/agents/full00"].startswith("/instructions: ")
    assert (await world.services.configuration.items.get(WS, Ref(Kind.TEMPLATE, "t"))).version == 1
    assert (await world.spec("fits")).instructions == "Short."
    assert await world.noted() == 1, "nothing was noted but the first change"


async def test_what_is_in_use_is_not_deleted(world: World) -> None:
    """The error names who uses it; once nobody does, it goes, and what is deleted is not there."""
    await world.put("personality", "p", formality=90)
    await world.put("template", "t", model="m", personality="p")
    await world.declare(template="t")
    for kind, name, user in (("personality", "p", "template t"), ("template", "t", "agent bot")):
        with pytest.raises(Conflict) as caught:
            await world.delete(kind, name)
        assert caught.value.code == "item_in_use"
        assert user in caught.value.detail
    await world.services.agents.administration.delete(WS, "bot", world.signals)
    await world.delete("template", "t")
    await world.delete("personality", "p")

    with pytest.raises(NotFound):
        await world.services.configuration.items.get(WS, Ref(Kind.TEMPLATE, "t"))
    with pytest.raises(NotFound):
        await world.delete("template", "t")
    assert (await world.put("template", "t", model="m")).item.version == 3


async def test_a_workspace_can_have_its_own_of_what_the_app_brings(world: World) -> None:
    """Agents follow it there, and back when it is deleted; elsewhere nothing changes."""
    before = (await world.declare(template="tech_advisor")).declaration.spec
    await world.declare("elsewhere", "other", template="tech_advisor")
    own = await world.put("template", "tech_advisor", model="mine")
    assert own.new
    assert (await world.spec()).model == "mine"
    names = [item.ref.name for item in (await world.services.configuration.items.list(WS, Kind.TEMPLATE, 200))[0]]
    assert names == ["customer_service", "market_analyst", "tech_advisor", "technical_support"]
    await world.delete("template", "tech_advisor")

    assert await world.spec() == before
    assert (await world.services.agents.catalog.get("other", "elsewhere")).declaration.revision == 1
    with pytest.raises(NotFound):
        await world.delete("template", "tech_advisor")


async def test_versions_are_kept_and_conditions_hold(world: World) -> None:
    """Each change is a version, newest first, the deletion too; a stale ETag changes nothing."""
    ref = Ref(Kind.CAPABILITY, "c")
    with pytest.raises(EtagMismatch):
        await world.put("capability", "c", if_match='"1"', instructions="x")
    for at in range(3):
        await world.put("capability", "c", instructions=f"v{at}")
    with pytest.raises(EtagMismatch):
        await world.put("capability", "c", if_match='"2"', instructions="late")
    await world.put("capability", "c", if_match='"3"', instructions="v3")
    await world.delete("capability", "c")
    first, before = await world.services.configuration.items.versions(WS, ref, 2)
    rest, end = await world.services.configuration.items.versions(WS, ref, 200, before)

    assert [item.version for item in [*first, *rest]] == [5, 4, 3, 2, 1]
    assert (first[0].content, rest[-1].content) == (
        None,
        CONTENT[Kind.CAPABILITY].model_validate({"instructions": "v0"}),
    )
    assert end is None


async def test_lists_are_paged_with_what_the_app_brings_among_them(world: World) -> None:
    """By name, each once, however they are cut; deleted ones are not there."""
    for name in ("a", "n", "warm", "zz", "gone"):
        await world.put("personality", name, formality=1)
    await world.delete("personality", "gone")
    for limit in (1, 2, 3, 200):
        names: list[str] = []
        after: str | None = None
        while True:
            page, after = await world.services.configuration.items.list(WS, Kind.PERSONALITY, limit, after)
            assert len(page) <= limit
            names += [item.ref.name for item in page]
            if after is None:
                break
        assert names == ["a", "n", "patient", "precise", "warm", "zz"]


async def test_what_is_too_large_to_store_is_refused(world: World) -> None:
    """It changes nothing."""
    guidelines = {f"g{at}": {"when": "w" * 500, "then": "t" * 1000} for at in range(100)}
    tools = [{"type": "mcp", "server_label": f"s{at}", "server_url": "https://x/" + "y" * 1900,
              "allowed_tools": ["z" * 256 for _ in range(120)]} for at in range(20)]  # fmt: skip
    with pytest.raises(TooLarge):
        await world.put("template", "t", instructions="x" * 100_000, guidelines=guidelines, tools=tools)

    with pytest.raises(NotFound):
        await world.services.configuration.items.get(WS, Ref(Kind.TEMPLATE, "t"))


async def _ten_follow_among(others: int) -> int:
    """Change what ten agents are composed of, and return how many rows were read for it."""
    tables = CountingTables()
    world = World(tables)
    await world.put("template", "t", model="m", instructions="One.")
    for at in range(others):
        await world.declare(f"plain{at:03}", model="m")
    for at in range(10):
        await world.declare(f"bot{at}", template="t")
        await world.services.agents.administration.prewarm(WS, f"bot{at}", world.signals)
    tables.reset()
    changed = await world.put("template", "t", model="m", instructions="Two.")
    reads = tables.rows_read

    agents = [await world.agent(f"bot{at}") for at in range(10)]
    assert (changed.followed.looked, changed.followed.changed, changed.followed.complete) == (10, 10, True)
    assert all(agent.ready and agent.declaration.spec.instructions == "Two." for agent in agents)
    assert [agent.record.created for agent in agents if agent.record] == [2] * 10
    return reads


async def test_a_thousand_agents_of_which_ten_follow() -> None:
    """Ten are provisioned again; the others cost nothing."""
    assert await _ten_follow_among(990) == await _ten_follow_among(0) < 200


async def test_more_than_a_request_changes_is_left_to_the_timer(world: World) -> None:
    """The timer goes on in runs of its own size until all have followed."""
    await world.put("template", "t", model="m1")
    for at in range(250):
        await world.declare(f"bot{at:03}", template="t")
    changed = await world.put("template", "t", model="m2")
    assert (changed.followed.complete, changed.followed.changed) == (False, 208)
    part = await world.services.agents.propagation.finish(world.signals, 16)
    rest = await world.services.agents.propagation.finish(world.signals)

    assert (part.changed, part.complete, rest.changed, rest.complete) == (16, False, 26, True)
    assert {(await world.spec(f"bot{at:03}")).model for at in range(250)} == {"m2"}
    await world.settle()


async def _changed_under(fate: Fate) -> World:
    """Change a template that three agents use, one of them active, and die on the way if the fate says so."""
    world = World()
    await world.put("template", "t", model="m", instructions="One.")
    for name in ("a", "b", "c"):
        await world.declare(name, template="t")
    await world.services.agents.administration.prewarm(WS, "b", world.signals)
    await world.settle()  # what was noted of the first change must not come to the help of the second
    dying = make_services(FatefulTables(world.tables, fate), world.clock)
    signals = _Struck(world, fate)
    ref, body = Ref(Kind.TEMPLATE, "t"), CONTENT[Kind.TEMPLATE].model_validate({"model": "m", "instructions": "Two."})
    try:
        await dying.agents.configuration_changes.put(WS, ref, body, signals)
    except Crash:
        await asyncio.sleep(0)
    return world


@dataclass
class _Struck:
    """The way to the living actors, each sending an effect."""

    world: World
    fate: Fate

    async def send(self, workspace: str, name: str, operation: Operation) -> None:
        await self.fate.effect(lambda: self.world.signals.send(workspace, name, operation))


async def test_a_change_survives_dying_at_any_effect() -> None:
    """Either nothing was changed, or the timer brings every agent after it, each provisioned once."""
    unharmed = Fate()
    await _changed_under(unharmed)
    assert unharmed.count >= 8, "there is nothing to die at"
    outcomes: set[int] = set()
    for number in range(1, unharmed.count + 1):
        for after in (False, True):
            fate = Fate(number, after)
            world = await _changed_under(fate)
            assert fate.dead or after, "only an effect that failed by itself cannot be died after"
            item = await world.services.configuration.items.get(WS, Ref(Kind.TEMPLATE, "t"))
            outcomes.add(item.version)
            await world.settle()

            agents = [await world.agent(name) for name in ("a", "b", "c")]
            text = {1: "One.", 2: "Two."}[item.version]
            assert [agent.declaration.spec.instructions for agent in agents] == [text] * 3
            assert [agent.declaration.revision for agent in agents] == [item.version] * 3
            assert agents[1].ready
            assert agents[1].record is not None
            assert agents[1].record.created == item.version

    assert outcomes == {1, 2}


async def test_a_change_that_was_answered_too_late_is_followed() -> None:
    """The store took it, but the answer was lost, and the SDK's second try met the first one's effect."""
    world = World()
    await world.put("template", "t", model="m1")
    await world.declare(template="t")
    for number, error in ((2, RowChanged), (2, RowExists)):
        services = make_services(FatefulTables(world.tables, Fate(number, after=True, error=error)), world.clock)
        content = CONTENT[Kind.TEMPLATE].model_validate({"model": error.__name__})
        changed = await services.agents.configuration_changes.put(WS, Ref(Kind.TEMPLATE, "t"), content, world.signals)

        assert changed.followed.changed == 1
        assert (await world.spec()).model == error.__name__


async def test_a_declaration_that_read_the_old_template_catches_up(world: World) -> None:
    """It is written after the change went by; the second look finds it by its entry in the index."""
    await world.put("template", "t", model="old")
    late = AgentConfig(template="t")
    made = await world.services.configuration.composer.compose(WS, "late", late)
    await world.put("template", "t", model="new")
    await world.services.agents.catalog.declare(WS, "late", made.effective.spec, config=late, sources=made.versions)
    assert (await world.spec("late")).model == "old"
    await world.settle()

    assert (await world.spec("late")).model == "new"


async def test_a_late_follower_does_not_bring_back_what_was(world: World) -> None:
    """It read the template before it changed again, and meets an agent that is ahead of it."""
    await world.put("template", "t", model="one")
    await world.declare(template="t")
    sources = world.services.configuration.composer.sources(WS)
    await sources.resolve(AgentConfig(template="t"))
    await world.put("template", "t", model="two")
    following: Any = world.services.agents.propagation
    found = [who async for batch in following.agents(WS, Ref(Kind.TEMPLATE, "t")) for who in batch]
    told = Told()
    step = await following._step(WS, found[0], Ref(Kind.TEMPLATE, "t"), sources, told)

    assert (step.changed, told.sent) == (0, [])
    assert (await world.spec()).model == "two"


async def test_two_changes_at_once_leave_all_agents_at_the_later(world: World) -> None:
    """Of many changes made side by side each is a version, and the last one counts everywhere."""
    await world.put("template", "t", model="m0")
    for at in range(5):
        await world.declare(f"bot{at}", template="t")
    await asyncio.gather(*(world.put("template", "t", model=f"m{at}") for at in range(1, 9)))
    item = await world.services.configuration.items.get(WS, Ref(Kind.TEMPLATE, "t"))
    await world.settle()
    last = getattr(item.content, "given")["model"]  # noqa: B009 - of a template

    assert item.version == 9
    assert {(await world.spec(f"bot{at}")).model for at in range(5)} == {last}


async def test_an_agent_that_cannot_follow_stays_as_it_is(world: World) -> None:
    """A race has left it with a template that is gone: it is told apart, and works on."""
    await world.put("template", "t", model="m")
    await world.declare(template="t")
    await world.services.configuration.items.change(WS, Ref(Kind.TEMPLATE, "t"), None, None)
    changed = await world.put("overrides", "workspace", max_output_tokens=7)

    assert (changed.followed.refused, changed.followed.complete) == (1, True)
    assert (await world.spec()) == AgentSpec(model="m")
    await world.services.agents.administration.prewarm(WS, "bot", world.signals)
    assert (await world.agent()).ready


@pytest.mark.parametrize("broken", ["agent", "template"])
async def test_an_unreadable_row_keeps_no_other_change_from_its_agents(world: World, broken: str) -> None:
    """It is passed over, and the timer goes on with the agents and the changes behind it."""
    for name in ("t1", "t2"):
        await world.put("template", name, model="m1")
        for agent in ("a", "b"):
            await world.declare(f"{agent}-{name}", template=name)
    await world.settle()
    for name in ("t1", "t2"):
        ref, body = Ref(Kind.TEMPLATE, name), CONTENT[Kind.TEMPLATE].model_validate({"model": "m2"})
        await world.services.agents.propagation.note(WS, ref, 2)
        await world.services.configuration.items.change(WS, ref, body, None)
    place = ("agents", "a-t1", "declaration") if broken == "agent" else ("configuration", "template!t1", "content")
    await _spoil(world, *place)
    world.clock.move(seconds=SETTLED.total_seconds() + 1)
    done = await world.services.agents.propagation.finish(world.signals)

    assert (done.complete, done.changed) == (True, 3 if broken == "agent" else 2)
    assert (await world.spec("b-t2")).model == "m2"
    if broken == "agent":
        assert (await world.spec("b-t1")).model == "m2"
    else:
        page, _ = await world.services.configuration.items.list(WS, Kind.TEMPLATE, 200)
        assert {"t1", "t2"} & {item.ref.name for item in page} == {"t2"}


async def _spoil(world: World, table: str, key: str, column: str) -> None:
    row = await world.tables.get(table, WS, key)
    assert row is not None
    await world.tables.commit(table, [Upsert(Row(WS, key, {**row.values, column: '{"from": "a later version"}'}))])


async def test_a_declaration_from_before_templates_can_be_read(world: World) -> None:
    """A stored declaration without what it was composed of follows the overrides, too."""
    await world.services.agents.catalog.declare(WS, "old", spec(instructions="Mine."))
    await world.put("overrides", "workspace", max_output_tokens=7, instructions="Theirs.")

    assert await world.spec("old") == spec(instructions="Mine.", max_output_tokens=7)


async def test_a_run_reads_nothing_more_for_being_composed() -> None:
    """What a run's agent is composed of is settled when it is declared."""
    counted: list[dict[str, int]] = []
    for config in ({"model": "m"}, {"template": "customer_service"}):
        tables = CountingTables()
        world = World(tables)
        await world.declare(**config)
        await world.services.agents.resolver.resolve(WS, "bot", world.signals)
        world.services.agents.resolver.forget(WS, "bot")
        tables.reset()
        await world.services.agents.resolver.resolve(WS, "bot", world.signals)
        counted.append(dict(tables.operations))

    assert counted[0] == counted[1] == {"query agents": 1}
