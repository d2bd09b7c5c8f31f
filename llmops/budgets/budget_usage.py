"""Reading how much of each budget is used."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass
from llmops.budgets.budget_rules import ANY, AppliedLimit, Budget, CostAttribution, Counter, Period, Unit, applying

if TYPE_CHECKING:
    from kernel.clock import Clock
    from llmops.budgets.counters import BudgetCounters
    from llmops.budgets.store import BudgetStore

WORKSPACE = "workspace"
"""Scope of the workspace's own budget."""
_A_PAGE = 999


@dataclass(frozen=True, slots=True)
class BudgetUsage:
    """A limit, and how much of it is used, in the unit's smallest part.

    Attributes:
        scope: The budget's key.
        unit: What is limited.
        period: The period.
        limit: The most that may be spent.
        spent: What was spent.
        reserved: What is reserved for calls under way.
        resets_at: When the counter resets, aware UTC; None for never.
    """

    scope: str
    unit: Unit
    period: Period
    limit: int
    spent: int
    reserved: int
    resets_at: datetime | None


@dataclass(frozen=True, slots=True)
class ForemostUsage:
    """Usage of a workspace's budgets, the workspace's own first.

    Attributes:
        budgets: The first of them.
        left_out: How many others there are.
    """

    budgets: Sequence[BudgetUsage] = ()
    left_out: int = 0


class BudgetUsageReader:
    """Reads the usage of budgets."""

    def __init__(self, budgets: BudgetStore, counters: BudgetCounters, clock: Clock) -> None:
        self._budgets = budgets
        self._counters = counters
        self._clock = clock

    async def list(
        self, workspace: str, limit: int, after: str | None = None
    ) -> tuple[Sequence[BudgetUsage], str | None]:
        """Return the usage of up to `limit` budgets by scope, and the cursor of the next page; None at the end.

        Limits with a counter per run, session, agent or user are left out; `of` returns those.
        """
        budgets, further = await self._budgets.list(workspace, limit, after)
        found = [applied for budget, _ in budgets for applied in self._shared(workspace, budget)]
        return await self._read(workspace, found), further

    async def foremost(self, workspace: str, most: int) -> ForemostUsage:
        """Return the usage of up to `most` limits, the workspace's first, then by scope, and the number of others."""
        found: list[AppliedLimit] = []
        after: str | None = None
        while True:
            budgets, after = await self._budgets.list(workspace, _A_PAGE, after)
            found += [applied for budget, _ in budgets for applied in self._shared(workspace, budget)]
            if after is None:
                break
        found.sort(key=lambda each: each.scope != WORKSPACE)
        return ForemostUsage(await self._read(workspace, found[:most]), max(0, len(found) - most))

    async def of(self, who: CostAttribution) -> Sequence[BudgetUsage]:
        """Return the usage of all limits that apply to one agent, user, session or run."""
        budgets = await self._budgets.of(who.workspace, refresh=True)
        found = [each for each in applying(budgets, who, self._clock()) if _named(each, who)]
        return await self._read(who.workspace, found)

    def _shared(self, workspace: str, budget: Budget) -> Sequence[AppliedLimit]:
        scope = budget.scope
        if scope.subject == ANY:
            return ()
        names = {scope.kind: scope.subject}
        who = CostAttribution(
            workspace, names.get("agent", ""), names.get("session", ""), names.get("run", ""), names.get("user", "")
        )
        return [each for each in applying([budget], who, self._clock()) if _named(each, who)]

    async def _read(self, workspace: str, applied: Sequence[AppliedLimit]) -> Sequence[BudgetUsage]:
        counters = await self._counters.counters(workspace, list({each.counter: None for each in applied}))
        return [_position(each, counters[each.counter]) for each in applied]


def _named(each: AppliedLimit, who: CostAttribution) -> bool:
    """Return whether the limit's counter is determined: that of a run or session only is where one is named."""
    return not each.counter.endswith(":") and (who.run_id != "" or not each.counter.startswith("run:"))


def _position(each: AppliedLimit, counter: Counter) -> BudgetUsage:
    unit = each.limit.unit
    spent, reserved = counter.spent.of(unit), counter.reserved.of(unit)
    return BudgetUsage(each.scope, unit, each.limit.period, each.limit.amount, spent, reserved, each.resets_at)
