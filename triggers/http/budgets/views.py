"""Request and response models of budgets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from llmops.budgets.budget_rules import Budget, Limit, Period, Unit, shown
from triggers.http.base_models import Body, Page, View

if TYPE_CHECKING:
    from lifecycle.conversations.run import Run
    from llmops.budgets.budget_rules import Scope
    from llmops.budgets.budget_usage import BudgetUsage
    from llmops.budgets.waiting_run_index import BudgetWait

Percent = Annotated[int, Field(ge=1, le=100, strict=True)]
MOST_SHOWN = 300
"""Most characters of a query shown in a list of runs."""
_PARTS = {"tokens": 1, "calls": 1, "usd": 1_000_000, "seconds": 1000}
"""Number of smallest parts in one unit."""


class LimitBody(Body):
    """The most that may be spent in a period.

    Attributes:
        unit: What is limited: tokens (input and output), usd, model calls, or seconds of wall time.
        period: `run` and `session` have a counter for each; `day` and `month` are UTC; `total` never resets.
        limit: The limit: whole tokens and calls, USD to the micro-dollar, seconds to the millisecond.
        soft: Percentages at which an event is published, ascending.
    """

    unit: Unit
    period: Period
    limit: Annotated[Decimal, Field(gt=0, le=1_000_000_000_000)]
    soft: Annotated[tuple[Percent, ...], Field(max_length=10)] = (50, 80, 100)

    @model_validator(mode="after")
    def _whole(self) -> LimitBody:
        if self.limit * _PARTS[self.unit] % 1:
            msg = f"limit has more decimal places than {self.unit} have"
            raise ValueError(msg)
        return self


class BudgetBody(Body):
    """A budget: one limit for each unit and period."""

    limits: Annotated[tuple[LimitBody, ...], Field(min_length=1, max_length=20)]

    def of(self, scope: Scope) -> Budget:
        """Return the scope's budget."""
        return Budget(
            scope,
            tuple(
                Limit(each.unit, each.period, int(each.limit * _PARTS[each.unit]), each.soft) for each in self.limits
            ),
        )


class LimitView(View):
    """The most that may be spent in a period."""

    unit: Unit
    period: Period
    limit: float
    soft: Sequence[int]


class BudgetView(View):
    """A budget."""

    scope: str
    limits: Sequence[LimitView]

    @classmethod
    def from_budget(cls, budget: Budget) -> BudgetView:
        """Return the view of a budget."""
        limits = [
            LimitView(unit=each.unit, period=each.period, limit=shown(each.unit, each.amount), soft=each.soft)
            for each in budget.limits
        ]
        return cls(scope=str(budget.scope), limits=limits)


class BudgetPage(Page[BudgetView]):
    """Budgets by scope."""


class UsageView(View):
    """The usage of a limit; `resets_at` is null where it never resets."""

    scope: str
    unit: Unit
    period: Period
    limit: float
    used: float
    reserved: float
    remaining: float
    resets_at: datetime | None

    @classmethod
    def from_position(cls, position: BudgetUsage) -> UsageView:
        """Return the view of a limit's usage."""
        left = max(0, position.limit - position.spent - position.reserved)
        return cls(
            scope=position.scope,
            unit=position.unit,
            period=position.period,
            limit=shown(position.unit, position.limit),
            used=shown(position.unit, position.spent),
            reserved=shown(position.unit, position.reserved),
            remaining=shown(position.unit, left),
            resets_at=position.resets_at,
        )


class UsagePage(Page[UsageView]):
    """The usage of each limit."""


class BlockedRunView(View):
    """A run that waits for a budget: the beginning of its query, why it waits, and what it has spent so far."""

    id: str
    session_id: str
    agent: str
    user_id: str | None
    query: str
    code: str
    detail: str
    since: datetime
    cost_micro_usd: int

    @classmethod
    def from_run(cls, run: Run, wait: BudgetWait) -> BlockedRunView:
        """Return the view of a run and its wait."""
        return cls.of(
            run,
            query=run.query[:MOST_SHOWN],
            code=wait.code,
            detail=run.error.detail if run.error else "",
            since=wait.since or run.created_at,
            cost_micro_usd=run.costs.spend.cost_micro_usd,
        )


class BlockedRunPage(Page[BlockedRunView]):
    """Runs that wait for a budget, oldest first."""
