"""The index of runs that wait for a budget, so that they go on when it has room.

Table `budgets`, partition workspace: `wait!{run}`, written before the run waits and removed after it goes on or ends.
So it may hold runs that no longer wait, and misses none that does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.codec import JsonCodec, all_readable, readable
from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Row, RowChanged, Span, Upsert, every, first_rows
from llmops.budgets.budget_rules import Amounts, CostAttribution, applying, granted, percent
from llmops.budgets.call_budget import UNPRICED
from llmops.budgets.store import TABLE
from llmops.spend.usage import Usage

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.tables import Tables
    from llmops.budgets.counters import BudgetCounters
    from llmops.budgets.store import BudgetStore
    from llmops.spend.rate_store import RateStore

APPROVAL = "budget_approval_needed"
"""Error code of a run that waits because its agent's degradation step asks for approval."""


@dataclass(frozen=True, slots=True)
class BudgetWait:
    """A run that waits for a budget.

    Attributes:
        who: Whom the run's cost is attributed to.
        code: The reason, an error code of `BudgetBlocked`.
        need: What the next call may take.
        model: The model of the next call.
        below: The degradation step that stopped it, in percent; None where a limit did.
        since: Start of the wait, aware UTC; set by `enter`.
    """

    who: CostAttribution
    code: str
    need: Amounts
    model: str
    below: int | None = None
    since: datetime | None = None


_WAIT = JsonCodec(BudgetWait)


class BudgetWaits:
    """The index of waiting runs, and whether each can go on."""

    def __init__(
        self, tables: Tables, budgets: BudgetStore, counters: BudgetCounters, rates: RateStore, clock: Clock
    ) -> None:
        self._tables = tables
        self._budgets = budgets
        self._counters = counters
        self._rates = rates
        self._clock = clock

    async def enter(self, wait: BudgetWait) -> None:
        """Enter the run; entering it again replaces the reason it waits for."""
        entered = _WAIT.dump(replace(wait, since=self._clock()))
        await self._tables.commit(
            TABLE, [Upsert(Row(wait.who.workspace, f"wait!{wait.who.run_id}", {"wait": entered}))]
        )

    async def drop(self, wait: BudgetWait, etag: str) -> None:
        """Remove the run, unless it was entered again after the ETag was read."""
        try:
            await self._tables.commit(TABLE, [Delete(wait.who.workspace, f"wait!{wait.who.run_id}", etag)])
        except RowChanged:
            return

    async def forget(self, workspace: str, run_id: str) -> None:
        """Remove the run whatever it waits for; does nothing where it does not wait."""
        with suppress(RowChanged):
            await self._tables.commit(TABLE, [Delete(workspace, f"wait!{run_id}")])

    async def every(self, workspace: str) -> AsyncIterator[tuple[BudgetWait, str]]:
        """Yield the workspace's runs that wait, with their ETags."""
        rows = every(self._tables, TABLE, Span.prefix(workspace, "wait!"))
        async for wait in all_readable(rows, lambda row: (_WAIT.load(row.text("wait")), row.etag), "waiting run"):
            yield wait

    async def page(
        self, workspace: str, limit: int, after: str | None = None
    ) -> tuple[Sequence[BudgetWait], str | None]:
        """Return up to `limit` runs by id, and the cursor of the next page; None at the end."""
        first = "wait!" if after is None else f"wait!{after}!"
        rows = await first_rows(self._tables, TABLE, Span(workspace, key_from=first, key_before="wait!~"), limit + 1)
        found = list(readable(rows[:limit], lambda row: _WAIT.load(row.text("wait")), "waiting run"))
        return found, rows[limit - 1].key.removeprefix("wait!") if len(rows) > limit else None

    async def count(self, workspace: str) -> int:
        """Return the number of the workspace's runs that wait."""
        return len([row async for row in every(self._tables, TABLE, Span.prefix(workspace, "wait!"))])

    async def workspaces(self) -> AsyncIterator[str]:
        """Yield every workspace in which a run may wait."""
        async for workspace in self._budgets.workspaces():
            yield workspace

    async def over(self, wait: BudgetWait) -> bool:
        """Return whether the wait is over: the budget has room, or the model has a price."""
        now, workspace = self._clock(), wait.who.workspace
        limits = applying(await self._budgets.of(workspace, refresh=True), wait.who, now)
        counters = await self._counters.counters(workspace, list({each.counter for each in limits}))
        if wait.below is not None and max((percent(each, counters) for each in limits), default=0) >= wait.below:
            return False
        if wait.below is not None:
            return True
        if wait.code == UNPRICED:
            price = (await self._rates.of(workspace)).price(wait.model, Usage(), now)
            return price.cost_micro_usd is not None or not any(each.limit.unit == "usd" for each in limits)
        return not granted(wait.need, limits, counters)[1]
