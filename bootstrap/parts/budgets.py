"""The parts of what may be spent."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.notifications import NotificationParts
from bootstrap.parts.sessions import SessionParts

if TYPE_CHECKING:
    from llmops.budgets.accounts import Accounts
    from llmops.budgets.book import Book
    from llmops.budgets.call_budget import BudgetService
    from llmops.budgets.news import BudgetNews
    from llmops.budgets.positions import Positions
    from llmops.budgets.tending import Tending
    from llmops.budgets.waits import Waits
    from llmops.spend.rates import RateBook


class BudgetParts(SessionParts, NotificationParts):
    """Makes what may be spent."""

    @cached_property
    def budgets(self) -> Book:
        """The budgets as they are declared."""
        from llmops.budgets.book import Book

        return Book(self.tables, self.clock, self._budget_trust)

    @cached_property
    def accounts(self) -> Accounts:
        """What is spent and reserved of them."""
        from llmops.budgets.accounts import Accounts

        return Accounts(self.tables, self.clock)

    @cached_property
    def rates(self) -> RateBook:
        """The workspaces' own rates."""
        from llmops.spend.rates import RateBook

        return RateBook(self.tables, self.clock, self._budget_trust)

    @cached_property
    def budget_news(self) -> BudgetNews:
        """Tells what happens at budgets."""
        from llmops.budgets.news import BudgetNews

        return BudgetNews(self.journal, self.outbox)

    @cached_property
    def treasury(self) -> BudgetService:
        """What runs' model calls are paid from."""
        from llmops.budgets.call_budget import BudgetPolicy, BudgetService

        settings = self.settings
        return BudgetService(
            self.budgets,
            self.accounts,
            self.run_recorder.call,
            self.budget_news,
            self.clock,
            BudgetPolicy(
                hold_for=timedelta(seconds=settings.run_timeout + settings.run_lease),
                wait_for=timedelta(seconds=settings.budget_wait),
                longest_call=timedelta(seconds=settings.model_timeout),
            ),
        )

    @cached_property
    def tending(self) -> Tending:
        """Settles what the dead have left, and forgets what is over."""
        from llmops.budgets.tending import Tending

        return Tending(self.treasury)

    @cached_property
    def waits(self) -> Waits:
        """Runs that wait for a budget."""
        from llmops.budgets.waits import Waits

        return Waits(self.tables, self.budgets, self.accounts, self.rates, self.clock)

    @cached_property
    def positions(self) -> Positions:
        """How much of each budget is used."""
        from llmops.budgets.positions import Positions

        return Positions(self.budgets, self.accounts, self.clock)

    @property
    def _budget_trust(self) -> timedelta:
        return timedelta(seconds=self.settings.budget_trust)
