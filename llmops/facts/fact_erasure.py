"""Erasing users and reasons from a run's facts; the amounts stay, in a group without a user.

A fact and the sums it is in are changed in one transaction; then the rows of the reports are written from the new sums.
It may be interrupted anywhere and repeated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date, datetime

from kernel.tables import Delete, Replace, Row, RowChanged, RowExists, Tables, Write, put
from llmops.facts import sums
from llmops.facts.attempt_fact import AttemptFact, without_arguments
from llmops.facts.fact_store import TABLE, Facts, StoredFact, kept_of, kept_row, key_of, new_row
from llmops.facts.sums import CostSum
from llmops.spend.usage import Spend

_NOBODY = ""

Rewrite = Callable[[str, date], Awaitable[None]]
"""Rewrites a workspace's report rows of a day."""


class RunRedaction:
    """Erases users, reasons and arguments from facts."""

    def __init__(self, tables: Tables, rewrite: Rewrite) -> None:
        """Set the tables of facts, and the function that rewrites the reports of a day."""
        self._tables = tables
        self._facts = Facts(tables)
        self._rewrite = rewrite

    async def redact(self, workspace: str, agent: str, run_id: str, accepted_at: datetime, last: datetime) -> int:
        """Erase the user's id, reasons and tool arguments from a run's facts; return the number of calls in them.

        Args:
            workspace: The run's workspace.
            agent: The agent asked.
            run_id: The run.
            accepted_at: When it was accepted.
            last: When its last attempt ended, at the latest.
        """
        rows = await self._facts.rows_of_run(workspace, agent, run_id, accepted_at, last)
        calls = 0
        for row in rows:
            calls += await self._forget(row.partition, row.key)
        for day in sorted({row.partition[:10] for row in rows}):
            await self._rewrite(workspace, date.fromisoformat(day))
        return calls

    async def _forget(self, home: str, key: str) -> int:
        while True:
            row = await self._tables.get(TABLE, home, key)
            if row is None:
                return 0
            kept = kept_of(row)
            calls = sum(call.count for call in kept.fact.calls)
            after = _forgotten(kept)
            if after == kept:
                return calls
            writes: list[Write] = [Replace(kept_row(home, after, row.etag))]
            if kept.fact.who.user_id != _NOBODY:
                new = await self._tables.get(TABLE, home, f"new!{key_of(kept.fact)}")
                if new is None:
                    writes += await self._moved(home, kept.fact)
                else:
                    writes.append(Replace(replace(new_row(home, _nameless(kept.fact)), etag=new.etag)))
            try:
                await self._tables.commit(TABLE, writes)
            except (RowChanged, RowExists):
                continue  # it is being added to its sums, or our earlier try took effect
            return calls

    async def _moved(self, home: str, fact: AttemptFact) -> list[Write]:
        """Return the writes that move the calls' amounts from the sums of their user to those of no user."""
        writes: list[Write] = []
        for group, spend in sums.costs_of(fact).items():
            nobody = replace(group, user_id=_NOBODY)
            own, other = [await self._tables.get(TABLE, home, sums.cost_key(each)) for each in (group, nobody)]
            if own is None or spend == Spend():
                continue
            rest = sums.cost_of(own)[1] - spend
            if rest == Spend():
                writes.append(Delete(home, own.key, own.etag))
            else:
                writes.append(Replace(Row(home, own.key, sums.dump(CostSum(group, rest)), own.etag)))
            total = spend + (sums.cost_of(other)[1] if other else Spend())
            row = Row(home, sums.cost_key(nobody), sums.dump(CostSum(nobody, total)), other.etag if other else "")
            writes.append(put(row))
        return writes


def _forgotten(kept: StoredFact) -> StoredFact:
    fact = _nameless(kept.fact)
    fact = replace(fact, tools=without_arguments(fact.tools))
    if fact.score is not None:
        fact = replace(fact, score=replace(fact.score, reasons={}))
    return replace(kept, fact=fact, erased=True)


def _nameless(fact: AttemptFact) -> AttemptFact:
    return replace(fact, who=replace(fact.who, user_id=_NOBODY))
