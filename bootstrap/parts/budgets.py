"""The parts of what may be spent."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.notifications import NotificationParts
from bootstrap.parts.sessions import SessionParts

if TYPE_CHECKING:
    from llmops.budgets.blocked_runs import BudgetWaits
    from llmops.budgets.call_budget import BudgetService
    from llmops.budgets.counters import BudgetCounters
    from llmops.budgets.events import BudgetEvents
    from llmops.budgets.maintenance import BudgetMaintenance
    from llmops.budgets.store import BudgetStore
    from llmops.budgets.usage import BudgetUsageReader
    from llmops.spend.rates import RateStore


class BudgetParts(SessionParts, NotificationParts):
    """Makes what may be spent."""

    @cached_property
    def budgets(self) -> BudgetStore:
        """The budgets as they are declared."""
        from llmops.budgets.store import BudgetStore

        return BudgetStore(self.tables, self.clock, self._budget_trust)

    @cached_property
    def accounts(self) -> BudgetCounters:
        """What is spent and reserved of them."""
        from llmops.budgets.counters import BudgetCounters

        return BudgetCounters(self.tables, self.clock)

    @cached_property
    def rates(self) -> RateStore:
        """The workspaces' own rates."""
        from llmops.spend.rates import RateStore

        return RateStore(self.tables, self.clock, self._budget_trust)

    @cached_property
    def budget_events(self) -> BudgetEvents:
        """Tells what happens at budgets."""
        from llmops.budgets.events import BudgetEvents

        return BudgetEvents(self.journal, self.outbox)

    @cached_property
    def budget_service(self) -> BudgetService:
        """What runs' model calls are paid from."""
        from llmops.budgets.call_budget import BudgetPolicy, BudgetService

        settings = self.settings
        return BudgetService(
            self.budgets,
            self.accounts,
            self.run_recorder.call,
            self.budget_events,
            self.clock,
            BudgetPolicy(
                hold_for=timedelta(seconds=settings.run_timeout + settings.run_lease),
                wait_for=timedelta(seconds=settings.budget_wait),
                longest_call=timedelta(seconds=settings.model_timeout),
            ),
        )

    @cached_property
    def budget_maintenance(self) -> BudgetMaintenance:
        """Settles what the dead have left, and forgets what is over."""
        from llmops.budgets.maintenance import BudgetMaintenance

        return BudgetMaintenance(self.budget_service)

    @cached_property
    def waits(self) -> BudgetWaits:
        """Runs that wait for a budget."""
        from llmops.budgets.blocked_runs import BudgetWaits

        return BudgetWaits(self.tables, self.budgets, self.accounts, self.rates, self.clock)

    @cached_property
    def positions(self) -> BudgetUsageReader:
        """How much of each budget is used."""
        from llmops.budgets.usage import BudgetUsageReader

        return BudgetUsageReader(self.budgets, self.accounts, self.clock)

    @property
    def _budget_trust(self) -> timedelta:
        return timedelta(seconds=self.settings.budget_trust)
