"""Composition of budgets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.parts.capacity import CapacityServices
    from bootstrap.parts.conversations import ConversationServices
    from bootstrap.parts.core import Core
    from bootstrap.parts.events import EventServices
    from bootstrap.parts.notifications import NotificationServices
    from llmops.budgets.budget_events import BudgetEvents
    from llmops.budgets.budget_usage import BudgetUsageReader
    from llmops.budgets.call_budget import BudgetService
    from llmops.budgets.counters import BudgetCounters
    from llmops.budgets.maintenance import BudgetMaintenance
    from llmops.budgets.store import BudgetStore
    from llmops.budgets.waiting_run_index import BudgetWaits
    from llmops.spend.rate_store import RateStore


@dataclass(eq=False)
class BudgetServices:
    """Builds budgets: limits, reservations, usage, and the runs that wait for them."""

    _core: Core
    _events: EventServices
    _notifications: NotificationServices
    _conversations: ConversationServices
    _capacity: CapacityServices

    @cached_property
    def store(self) -> BudgetStore:
        """Stores declared budgets."""
        from llmops.budgets.store import BudgetStore

        return BudgetStore(self._core.tables, self._core.clock, self._core.budget_trust)

    @cached_property
    def counters(self) -> BudgetCounters:
        """Counters of what is spent and reserved."""
        from llmops.budgets.counters import BudgetCounters

        return BudgetCounters(self._core.tables, self._core.clock)

    @cached_property
    def rates(self) -> RateStore:
        """Stores the workspaces' own rates."""
        from llmops.spend.rate_store import RateStore

        return RateStore(self._core.tables, self._core.clock, self._core.budget_trust)

    @cached_property
    def events(self) -> BudgetEvents:
        """Publishes events of budgets."""
        from llmops.budgets.budget_events import BudgetEvents

        return BudgetEvents(self._events.journal, self._notifications.outbox)

    @cached_property
    def service(self) -> BudgetService:
        """Reserves and settles the model calls of runs."""
        from llmops.budgets.call_budget import BudgetPolicy, BudgetService

        settings = self._core.settings
        return BudgetService(
            self.store,
            self.counters,
            self._conversations.recorder.call,
            self.events,
            self._core.clock,
            BudgetPolicy(
                hold_for=timedelta(seconds=settings.run_timeout + settings.run_lease),
                wait_for=timedelta(seconds=settings.budget_wait),
                longest_call=timedelta(seconds=settings.model_timeout),
            ),
            self._capacity.admission,
        )

    @cached_property
    def maintenance(self) -> BudgetMaintenance:
        """Settles reservations of dead workers, and deletes counters of past periods."""
        from llmops.budgets.maintenance import BudgetMaintenance

        return BudgetMaintenance(self.service)

    @cached_property
    def waits(self) -> BudgetWaits:
        """The index of runs that wait for a budget."""
        from llmops.budgets.waiting_run_index import BudgetWaits

        return BudgetWaits(self._core.tables, self.store, self.counters, self.rates, self._core.clock)

    @cached_property
    def usage(self) -> BudgetUsageReader:
        """Reads the usage of budgets."""
        from llmops.budgets.budget_usage import BudgetUsageReader

        return BudgetUsageReader(self.store, self.counters, self._core.clock)
