"""Reading how much of a workspace's budgets is used."""

from __future__ import annotations

from datetime import timedelta

from adapters.memory_tables import MemoryTables
from llmops.budgets.budget_rules import Budget, Limit, Scope
from llmops.budgets.budget_usage import BudgetUsageReader
from llmops.budgets.counters import BudgetCounters
from llmops.budgets.store import BudgetStore
from tests.lifecycle.doubles import ManualClock


async def test_of_many_budgets_the_workspaces_come_first_and_the_others_are_counted() -> None:
    """Its key is the last of all."""
    tables, clock = MemoryTables(), ManualClock()
    budgets = BudgetStore(tables, clock, timedelta(0))
    for number in range(60):
        await budgets.put("default", Budget(Scope("agent", f"a-{number:02d}"), (Limit("usd", "month", 100),)), None)
    limits = (Limit("usd", "month", 100), Limit("tokens", "day", 7))
    await budgets.put("default", Budget(Scope("workspace"), limits), None)
    usage = BudgetUsageReader(budgets, BudgetCounters(tables, clock), clock)
    few, all_, none = [await usage.foremost(name, most) for name, most in (("default", 5), ("default", 99), ("x", 5))]

    assert [each.scope for each in few.budgets] == ["workspace", "workspace", "agent:a-00", "agent:a-01", "agent:a-02"]
    assert (few.left_out, len(all_.budgets), all_.left_out) == (57, 62, 0)
    assert (none.budgets, none.left_out) == ([], 0)
