"""What sessions cost, read from the facts of their attempts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from adapters.memory_tables import MemoryTables
from kernel.errors import InvalidInput
from llmops.facts.fact_store import Facts
from llmops.facts.sum_reader import FactSums
from llmops.facts.summing import FactAggregation
from llmops.spend.costs import costs_by_session
from tests.llmops.conftest import NOW, call, fact

DAY = NOW.date()


async def _world() -> MemoryTables:
    tables = MemoryTables()
    facts = Facts(tables)
    await facts.record(fact("r1", session_id="dear", cost_micro_usd=50))
    await facts.record(fact("r2", agent="other", session_id="cheap", cost_micro_usd=5))
    await facts.record(fact("r2", agent="other", session_id="cheap", judge="agent", calls=(call(1, cost_micro_usd=9),)))
    await facts.record(fact("r3", session_id="earlier", cost_micro_usd=100, at=NOW - timedelta(days=1)))
    await facts.record(fact("r4", workspace="else", session_id="dear", cost_micro_usd=1000))
    return tables


async def test_costs_by_session_are_those_of_attempts_and_judges_the_dearest_first() -> None:
    """Whether they are in sums yet or not; of the days asked for, in one workspace."""
    tables = await _world()
    before = await FactSums(tables).sessions("default", DAY, DAY, 10)
    await FactAggregation(tables).run(NOW)
    after = await FactSums(tables).sessions("default", DAY, DAY, 10)
    costs = costs_by_session(after, DAY, DAY)

    assert before == after
    assert [(name, spend.cost_micro_usd) for name, spend in costs.groups] == [("dear", 50), ("cheap", 14)]
    assert (costs.total.cost_micro_usd, costs.group_by) == (64, "session")


async def test_too_many_attempts_are_refused_rather_than_cut_off() -> None:
    """No more rows are read than may be; the answer says to ask for fewer days."""
    figures = FactSums(await _world())
    found = await figures.sessions("default", DAY - timedelta(days=1), DAY, 3)
    with pytest.raises(InvalidInput) as refused:
        costs_by_session(found, DAY, DAY)

    assert refused.value.code == "range_too_large"
