"""The sample data: marked, in the past, the same whenever it is made, and counted as real runs are."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from adapters.memory_tables import MemoryTables
from examples.sample import DAYS, facts, record
from llmops.facts.store import home_of, key_of
from llmops.spend.costs import costs_of, group_by
from tests.lifecycle.doubles import ManualClock, make_services

NOW = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)


def test_it_is_marked_and_in_the_past() -> None:
    """Every session and user says that it is a sample, and nothing has yet to happen."""
    found = list(facts(NOW.date(), NOW))
    days = {fact.timing.ended_at.date() for fact in found}

    assert all(fact.who.session_id.startswith("sample-") for fact in found)
    assert all(fact.who.user_id.startswith("sample-") for fact in found)
    assert max(fact.timing.ended_at for fact in found) <= NOW
    assert len(days) == DAYS


def test_the_next_day_adds_to_it_and_changes_nothing() -> None:
    """A fact that was there on both days is the same on both, under the same key."""
    first = {(home_of(fact), key_of(fact)): fact for fact in facts(NOW.date(), NOW)}
    later = NOW + timedelta(days=1)
    second = {(home_of(fact), key_of(fact)): fact for fact in facts(later.date(), later)}
    both = [key for key in first if key in second]

    assert len(both) > len(first) * 0.9
    assert all(first[key] == second[key] for key in both)
    assert {fact.who.run_id for key, fact in second.items() if key not in first}.isdisjoint(
        fact.who.run_id for key, fact in first.items() if key in second and fact.final
    )


async def test_costs_count_it_once() -> None:
    """Written twice, it is in the sums once, before and after the timer adds it up."""
    services = make_services(MemoryTables(), ManualClock(NOW))
    await record(services, NOW)
    await record(services, NOW)
    first = date(2026, 11, 1)
    before = await services.spend.daily_costs.sums("default", first, NOW.date(), NOW.date())
    await services.spend.aggregation.run(NOW)
    after = await services.spend.daily_costs.sums("default", first, NOW.date(), NOW.date())
    wanted = sum(fact.cost_micro_usd for fact in facts(NOW.date(), NOW) if fact.timing.ended_at.date() >= first)

    assert costs_of(before, first, NOW.date(), group_by("day")).total.cost_micro_usd == wanted
    assert costs_of(after, first, NOW.date(), group_by("day")).total.cost_micro_usd == wanted
