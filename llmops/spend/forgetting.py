"""Taking a user's id out of the ledger: amounts stay where they are, in a group that names nobody.

A line and the sum it is in are changed in one transaction; a report's rows follow with the values that the sums then
have. So it can be stopped anywhere and done again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date

from kernel.tables import Delete, Insert, Replace, Row, RowChanged, RowExists, Span, Tables, Write, every
from llmops.spend.ledger import TABLE, days, from_row, partition, shard
from llmops.spend.rollup import from_sum, group_of, to_row
from llmops.spend.usage import Spend

_NOBODY = ""

Rewrite = Callable[[str, date], Awaitable[None]]
"""Writes a workspace's report rows of a day anew."""


class UserErasure:
    """Takes the user's id out of the lines of runs."""

    def __init__(self, tables: Tables, rewrite: Rewrite) -> None:
        """Set where the ledger is, and what brings the reports of a day up to what the sums then are."""
        self._tables = tables
        self._rewrite = rewrite

    async def forget(self, workspace: str, run_id: str, first: date, last: date) -> int:
        """Take the user's id out of the run's lines of these days, and return how many lines there are."""
        count = 0
        for day in days(first, last):
            home = partition(day, shard(run_id))
            async for row in every(self._tables, TABLE, Span.prefix(home, f"open!{workspace}!{run_id}!")):
                await self._forget_intent(row)
            async for row in every(self._tables, TABLE, Span.prefix(home, f"line!{workspace}!{run_id}!")):
                count += 1
                if row.text("user_id") != _NOBODY:
                    await self._forget_line(home, row.key)
            if count:
                await self._rewrite(workspace, day)
        return count

    async def _forget_intent(self, row: Row) -> None:
        if row.text("user_id") == _NOBODY:
            return
        try:
            await self._tables.commit(TABLE, [_nameless(row)])
        except RowChanged:
            return  # it has become a line meanwhile

    async def _forget_line(self, home: str, key: str) -> None:
        while True:
            line = await self._tables.get(TABLE, home, key)
            if line is None or line.text("user_id") == _NOBODY:
                return
            new = await self._tables.get(TABLE, home, key.replace("line!", "new!", 1))
            writes: list[Write] = [_nameless(line)]
            writes += [_nameless(new)] if new else await self._moved(home, line)
            try:
                await self._tables.commit(TABLE, writes)
            except (RowChanged, RowExists):
                continue  # it was being added to its sum, or our own earlier try took effect
            return

    async def _moved(self, home: str, line: Row) -> list[Write]:
        """Return the writes that move what a line came to from its user's sum to nobody's."""
        group, spend = group_of(from_row(line)), from_row(line).spend
        nobody = replace(group, user_id=_NOBODY)
        own, other = [await self._tables.get(TABLE, home, each.key) for each in (group, nobody)]
        if own is None or spend == Spend():
            return []
        rest = from_sum(own)[1] - spend
        taken: Write = (
            Delete(home, own.key, own.etag)
            if rest == Spend()
            else Replace(to_row(home, group.key, group, rest, own.etag))
        )
        total = spend + (from_sum(other)[1] if other else Spend())
        row = to_row(home, nobody.key, nobody, total, other.etag if other else "")
        return [taken, Replace(row) if other else Insert(row)]


def _nameless(row: Row) -> Write:
    return Replace(Row(row.partition, row.key, {**row.values, "user_id": _NOBODY}, row.etag))
