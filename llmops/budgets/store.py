"""Storage of declared budgets.

Table `budgets`, partition workspace: `limit!{scope}` a budget (`llmops.budgets.counters` keeps the counters beside it);
partition `_workspaces`: `{workspace}`, every workspace that ever had a budget.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.codec import JsonCodec, readable
from kernel.errors import NotFound
from kernel.preconditions import delete_row, put_row
from kernel.tables import Row, Span, Tables, Upsert, every, first_rows
from llmops.budgets.budget_rules import Budget, Scope, check

if TYPE_CHECKING:
    from kernel.clock import Clock

TABLE = "budgets"
_BUDGET = JsonCodec(Budget)
_WORKSPACES = "_workspaces"


class BudgetStore:
    """Stores budgets, and caches them in this process for `trust_for`."""

    def __init__(self, tables: Tables, clock: Clock, trust_for: timedelta) -> None:
        self._tables = tables
        self._clock = clock
        self._trust_for = trust_for
        self._known: dict[str, tuple[datetime, Sequence[Budget]]] = {}

    async def of(self, workspace: str, *, refresh: bool = False) -> Sequence[Budget]:
        """Return the workspace's budgets, at most `trust_for` old; with `refresh`, as stored now."""
        now = self._clock()
        known = self._known.get(workspace)
        if refresh or known is None or known[0] + self._trust_for <= now:
            rows = every(self._tables, TABLE, Span.prefix(workspace, "limit!"))
            known = self._known[workspace] = (now, [_BUDGET.load(row.text("budget")) async for row in rows])
        return known[1]

    async def get(self, workspace: str, scope: Scope) -> tuple[Budget, str]:
        """Return the budget and its ETag.

        Raises:
            NotFound: The scope has no budget.
        """
        row = await self._tables.get(TABLE, workspace, f"limit!{scope}")
        if row is None:
            raise _missing(scope)
        return _BUDGET.load(row.text("budget")), row.etag

    async def list(
        self, workspace: str, limit: int, after: str | None = None
    ) -> tuple[Sequence[tuple[Budget, str]], str | None]:
        """Return up to `limit` budgets with their ETags, by scope, and the cursor of the next page; None at the end."""
        span = Span.prefix(workspace, "limit!", after=f"limit!{after}" if after else None)
        rows = await first_rows(self._tables, TABLE, span, limit + 1)
        found = list(readable(rows[:limit], lambda row: (_BUDGET.load(row.text("budget")), row.etag), "budget"))
        return found, rows[limit - 1].key.removeprefix("limit!") if len(rows) > limit else None

    async def put(self, workspace: str, budget: Budget, if_match: str | None) -> tuple[str, bool]:
        """Store the budget and return its ETag and whether it is new; it applies in all workers within `trust_for`.

        Raises:
            InvalidInput: The budget is not valid.
            EtagMismatch: It has changed since the caller read it.
        """
        check(budget)
        # Before the budget: a workspace entered without a budget does no harm, one that is missing does.
        await self._tables.commit(TABLE, [Upsert(Row(_WORKSPACES, workspace, {}))])
        row = Row(workspace, f"limit!{budget.scope}", {"budget": _BUDGET.dump(budget)})
        put = await put_row(self._tables, TABLE, row, if_match)
        self._known.pop(workspace, None)
        return put

    async def delete(self, workspace: str, scope: Scope, if_match: str | None) -> None:
        """Delete the budget.

        Raises:
            NotFound: The scope has no budget.
            EtagMismatch: It has changed since the caller read it.
        """
        place = (workspace, f"limit!{scope}")
        await delete_row(self._tables, TABLE, place, if_match, _missing(scope))
        self._known.pop(workspace, None)

    async def workspaces(self) -> AsyncIterator[str]:
        """Yield every workspace that ever had a budget."""
        async for row in every(self._tables, TABLE, Span(_WORKSPACES)):
            yield row.key


def _missing(scope: Scope) -> NotFound:
    return NotFound(f"There is no budget of {scope}.", code="budget_not_found")
