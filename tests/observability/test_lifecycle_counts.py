"""What became of agents is counted with the record that says so: exactly once, whatever dies in between."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.memory_tables import MemoryTables
from bootstrap.services import Services
from kernel.tables import Span, Tables, every
from lifecycle.registry.actor_operations import Ensure, Remove, Retire
from lifecycle.registry.actor_signals import LocalSignals
from lifecycle.registry.agent_counts import TABLE, LifecycleCounts, LifecycleTotals, add, change
from lifecycle.registry.record import AgentState, new_record
from tests.lifecycle.doubles import NOW, CountingTables, Crash, Fate, FatefulTables, ManualClock, quick_settings, spec


def services(tables: Tables, clock: ManualClock) -> Services:
    return Services(tables, quick_settings(), clock)


async def read(tables: Tables, clock: ManualClock, hours: int = 24) -> LifecycleTotals:
    return await LifecycleCounts(tables).read("default", clock(), hours)


async def ensure(signals: LocalSignals, name: str, revision: int = 1, model: str = "gpt-4o-mini") -> None:
    await signals.send("default", name, Ensure(f"ensure-{name}-{revision}", revision, spec(model=model)))


async def test_agents_by_state_and_what_happened_to_them() -> None:
    """Made, changed, deleted: states are what they are now, steps what has been."""
    tables, clock = MemoryTables(), ManualClock()
    signals = services(tables, clock).agents.local_signals()
    for name in ("a", "b", "c"):
        await ensure(signals, name)
    await ensure(signals, "a", 2, "gpt-4o")
    await signals.send("default", "c", Remove("remove-c", 2))
    found = await read(tables, clock)

    assert found.states == {"active": 2}
    assert found.steps["created"] == 4
    assert found.provisioned == 4
    assert found.versions == 3, "one of each, and the superseded one"
    assert found.made == [("a", 2), ("b", 1), ("c", 1)]
    assert [hour for hour, _ in found.hours] == ["2026-11-21T08"]
    assert found.hours[0][1] == found.steps


async def test_adding_up_changes_nothing_that_is_read() -> None:
    """Before, after and in between; and afterwards reading takes the sums alone."""
    tables, clock = CountingTables(), ManualClock()
    signals = services(tables, clock).agents.local_signals()
    counts = LifecycleCounts(tables)
    for n in range(120):
        await ensure(signals, f"agent-{n}")
    before = await read(tables, clock)
    assert await counts.fold("default") >= 240
    assert await counts.fold("default") == 0
    after = await read(tables, clock)
    tables.reset()
    await read(tables, clock)

    assert before == after
    assert after.states == {"active": 120}
    assert (tables.rows_read, sum(tables.operations.values())) == (2, 3)
    assert (len(after.made), after.made[-1]) == (101, ("agent-99", 1))
    assert dict(after.made)["_other"] == 20


async def test_the_rows_beside_the_records_are_no_agents() -> None:
    """Lists of agents do not show them."""
    tables, clock = MemoryTables(), ManualClock()
    app = services(tables, clock)
    await app.agents.administration.declare("default", "0", spec(), app.agents.local_signals())
    await app.agents.administration.prewarm("default", "0", app.agents.local_signals())
    await LifecycleCounts(tables).fold("default")
    await app.agents.administration.declare("default", "new", spec(), app.agents.local_signals())
    await app.agents.administration.prewarm("default", "new", app.agents.local_signals())

    assert [agent.name for agent in (await app.agents.catalog.list("default", 10))[0]] == ["0", "new"]
    assert [agent.name async for agent in app.agents.catalog.all()] == ["0", "new"]
    assert [agent.name async for agent in app.agents.catalog.all("default")] == ["0", "new"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 13))
async def test_whatever_an_actor_dies_at_each_change_is_counted_once(at: int, *, after: bool) -> None:
    """Killed at any of its writes, or after it, and asked again."""
    tables, clock = MemoryTables(), ManualClock()
    fate = Fate(at, after=after)
    dying = services(FatefulTables(tables, fate), clock)
    operations = [
        Ensure("one", 1, spec()),
        Ensure("two", 2, spec(model="gpt-4o")),
        Retire("three", NOW + timedelta(hours=1)),
    ]
    signals = dying.agents.local_signals()
    done = 0
    try:
        for operation in operations:
            await signals.send("default", "a", operation)
            done += 1
    except Crash:
        signals = services(tables, clock).agents.local_signals()
        for operation in operations[done:]:
            await signals.send("default", "a", operation)
    found = await read(tables, clock)
    record = (await services(tables, clock).agents.actor()._records.read("default", "a") or (None,))[0]

    assert record is not None
    assert found.states == {"idle": 1}
    assert found.steps["created"] + found.steps.get("adopted", 0) == 2
    assert (found.steps["created"], found.versions) == (record.created, len(record.held))


async def test_a_fold_that_dies_leaves_the_sums_right() -> None:
    """Before its transaction or after it."""
    for after in (False, True):
        tables, clock = MemoryTables(), ManualClock()
        await ensure(services(tables, clock).agents.local_signals(), "a")
        with pytest.raises(Crash):
            await LifecycleCounts(FatefulTables(tables, Fate(1, after=after))).fold("default")
        await LifecycleCounts(tables).fold("default")
        left = [row.key async for row in every(tables, TABLE, Span.prefix("default", "!new!"))]

        assert left == []
        assert (await read(tables, clock)).states == {"active": 1}


async def test_failures_to_make_and_to_delete_are_told_apart() -> None:
    """A provider that refuses is seen in the counts of its hour."""
    tables, clock = MemoryTables(), ManualClock()
    app = services(tables, clock)
    signals = app.agents.local_signals()
    await signals.send("default", "a", Ensure("one", 1, spec(simulate={"fail_creates": 1})))
    clock.move(hours=2)
    await signals.send("default", "a", Ensure("two", 1, spec(simulate={"fail_creates": 1})))
    found = await read(tables, clock)

    assert (found.steps["create_failed"], found.steps["created"]) == (1, 1)
    assert [(hour, sorted(steps)) for hour, steps in found.hours] == [
        ("2026-11-21T10", ["created"]),
        ("2026-11-21T08", ["create_failed"]),
    ]
    assert found.hours == (await read(tables, clock, hours=3)).hours
    assert [hour for hour, _ in (await read(tables, clock, hours=1)).hours] == ["2026-11-21T10"]


async def test_the_age_of_active_agents() -> None:
    """On average, as of now; who is retired does not count."""
    tables, clock = MemoryTables(), ManualClock()
    signals = services(tables, clock).agents.local_signals()
    await ensure(signals, "a")
    clock.move(seconds=100)
    await ensure(signals, "b")
    clock.move(seconds=100)

    assert (await read(tables, clock)).active_age_s == 150
    await signals.send("default", "a", Retire("retire", clock() + timedelta(hours=1)))
    assert (await read(tables, clock)).active_age_s == 100


def test_a_change_of_nothing_that_is_counted_is_no_row() -> None:
    """A use is no change of state: the busiest operation costs no more than it did."""
    active = replace(new_record("w", "a", NOW), state=AgentState.ACTIVE)

    assert change(active, replace(active, uses=7, last_used=NOW)) == {}
    assert add({"state.active": 1}, {"state.active": -1}) == {}


async def test_agents_that_are_declared_and_not_made_are_counted() -> None:
    """From the declaration on, through deleting and declaring again, and once it is added up."""
    tables, clock = MemoryTables(), ManualClock()
    app = services(tables, clock)
    signals, seen = app.agents.local_signals(), list[dict[str, int]]()

    async def look() -> None:
        seen.append(dict((await read(tables, clock)).states))

    for name in ("a", "b"):
        await app.agents.catalog.declare("default", name, spec())
    await look()
    await app.agents.catalog.declare("default", "a", spec(model="gpt-4o"))
    await app.agents.administration.prewarm("default", "a", signals)
    await look()
    await app.agents.administration.delete("default", "a", signals)
    await LifecycleCounts(tables).fold("default")
    await look()
    await app.agents.catalog.declare("default", "a", spec())
    await look()

    assert seen == [{"registered": 2}, {"active": 1, "registered": 1}, {"registered": 1}, {"registered": 2}]


async def test_a_declaration_whose_answer_is_lost_is_counted_once() -> None:
    """Struck before or after the write, and declared again."""
    for after in (False, True):
        tables, clock = MemoryTables(), ManualClock()
        struck = services(FatefulTables(tables, Fate(at=1, after=after, error=Crash)), clock)
        with pytest.raises(Crash):
            await struck.agents.catalog.declare("default", "a", spec())
        await services(tables, clock).agents.catalog.declare("default", "a", spec())

        assert (await read(tables, clock)).states == {"registered": 1}
