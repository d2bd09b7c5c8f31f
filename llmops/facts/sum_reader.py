"""Reading the sums of facts, together with facts that are not in the sums yet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from kernel.aggregation import NEW
from kernel.codec import all_readable
from kernel.lazy_dataclass import dataclass
from kernel.tables import Row, Span, Tables, every
from llmops.facts import sums
from llmops.facts.fact_store import SHARDS, TABLE, days, kept_of, new_of, partition, shard
from llmops.facts.summing import DAY_SUM, parts_of
from llmops.facts.sums import HOUR, MINUTE, Cell, CostSum, DaySum, cell_of
from llmops.spend.costs import Group, add_up
from llmops.spend.usage import Spend

if TYPE_CHECKING:
    from llmops.facts.attempt_fact import AttemptFact

MINUTES_UP_TO = timedelta(hours=6)
"""Longest window that is read by the minute; a longer one is read by the hour."""
_AT_ONCE = 16

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DayFigures:
    """What a workspace's attempts that ended on a UTC day came to.

    Attributes:
        spend: What they and the judges of their answers spent.
        hours: What each agent's versions did, by the hour.
    """

    spend: Spend
    hours: Sequence[Cell]


def window_start(since: datetime, now: datetime) -> datetime:
    """Return the start of the minute that contains `since`, aware UTC; of the hour for a long window until now."""
    minute = since.astimezone(UTC).replace(second=0, microsecond=0)
    return minute if now - since <= MINUTES_UP_TO else minute.replace(minute=0)


class FactSums:
    """Reads costs and cells (see `sums`). A fact being folded right now may be missing; none is counted twice."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def costs(self, day: date, workspace: str | None = None, *, new: bool = True) -> dict[Group, Spend]:
        """Return what was spent on a day by group, in one workspace or in all.

        Args:
            day: The UTC day on which the attempts ended.
            workspace: The workspace; None for all.
            new: Whether to include facts that are not in the sums yet.
        """
        below = "" if workspace is None else f"{workspace}!"

        async def one(home: str) -> list[tuple[Group, Spend]]:
            found = [each async for each in self._rows(home, f"cost!{below}", sums.cost_of)]
            if new:
                async for parts in self._rows(home, f"{NEW}{below}", parts_of):
                    found += [(part.group, part.spend) for _, part in parts if isinstance(part, CostSum)]
            return found

        return add_up(await self._gathered(one, [partition(day, number) for number in range(SHARDS)]))

    async def day(self, workspace: str, day: date) -> DayFigures:
        """Return what the workspace's attempts of a day came to; what is not added up yet is read once for both."""

        async def one(home: str) -> list[tuple[Spend, Sequence[Cell]]]:
            spend = sum([spend async for _, spend in self._rows(home, f"cost!{workspace}!", sums.cost_of)], Spend())
            stored = self._rows(home, f"hour!{workspace}!", sums.load)
            hours = [cell async for cell in stored if isinstance(cell, Cell)]
            async for fact in self._rows(home, f"{NEW}{workspace}!", _fact_of):
                if fact is not None:
                    spend = sum(sums.costs_of(fact).values(), spend)
                    hours += [] if fact.judge else [cell_of(fact, HOUR)]
            return [(spend, hours)]

        found = await self._gathered(one, [partition(day, number) for number in range(SHARDS)])
        return DayFigures(sum((spend for spend, _ in found), Spend()), [cell for _, hours in found for cell in hours])

    async def sessions(self, workspace: str, first: date, last: date, at_most: int) -> Mapping[str, Spend] | None:
        """Return the spend by session of the workspace's attempts that ended on these days, judges included.

        There are no sums by session: every fact of the days is read, so use few days. None where there are more than
        `at_most` facts.
        """
        left = at_most

        async def one(home: str) -> list[tuple[str, Spend]]:
            nonlocal left
            found: list[tuple[str, Spend]] = []
            async for stored in self._rows(home, f"fact!{workspace}!", kept_of):
                left -= 1
                if left < 0:
                    break
                found.append((stored.fact.who.session_id, stored.fact.spend))
            return found

        homes = [partition(day, number) for day in days(first, last) for number in range(SHARDS)]
        found = add_up(await self._gathered(one, homes))
        return found if left >= 0 else None

    async def hours(self, workspace: str | None, agent: str | None, first: date, last: date) -> Sequence[Cell]:
        """Return what an agent, every agent of the workspace, or every agent of all workspaces did, by hour.

        Args:
            workspace: The workspace; None for all, with all their agents.
            agent: The agent; None for all.
            first: The first UTC day.
            last: The last UTC day, included.
        """
        return await self._cells("hour", HOUR, workspace, agent, list(days(first, last)))

    async def window(self, workspace: str, agent: str | None, since: datetime, now: datetime) -> Sequence[Cell]:
        """Return what an agent, or every agent, has done since a time: by minute, or by hour for a long window.

        The minute or hour that contains `since` is included.
        """
        kind, form = ("slot", MINUTE) if now - since <= MINUTES_UP_TO else ("hour", HOUR)
        cells = await self._cells(kind, form, workspace, agent, list(days(since.date(), now.date())))
        start = window_start(since, now)
        return [cell for cell in cells if cell.start >= start]

    async def scores(self, workspace: str, agent: str, wanted: Sequence[date]) -> Sequence[DaySum]:
        """Return the sums of the agent's scores on these days."""

        async def one(home: str) -> list[DaySum]:
            below = f"{workspace}!{agent}!"
            found = [
                each async for each in self._rows(home, f"score!{below}", lambda row: DAY_SUM.load(row.text("sum")))
            ]
            async for parts in self._rows(home, f"{NEW}{below}", parts_of):
                found += [part for _, part in parts if isinstance(part, DaySum)]
            return found

        return await self._gathered(one, [partition(day, shard(workspace, agent)) for day in wanted])

    async def _cells(
        self, kind: str, form: str, workspace: str | None, agent: str | None, wanted: Sequence[date]
    ) -> Sequence[Cell]:
        shards: Sequence[int] = range(SHARDS)
        below = "" if workspace is None else f"{workspace}!"
        if workspace is not None and agent is not None:
            shards, below = [shard(workspace, agent)], f"{workspace}!{agent}!"

        async def one(home: str) -> list[Cell]:
            found = [cell async for cell in self._rows(home, f"{kind}!{below}", sums.load) if isinstance(cell, Cell)]
            new = self._rows(home, f"{NEW}{below}", _fact_of)
            return found + [cell_of(fact, form) async for fact in new if fact is not None and not fact.judge]

        return await self._gathered(one, [partition(day, number) for day in wanted for number in shards])

    def _rows(self, home: str, prefix: str, read: Callable[[Row], T]) -> AsyncIterator[T]:
        # Sums are read first: a fact folded in between is missed for a moment rather than counted twice.
        return all_readable(every(self._tables, TABLE, Span.prefix(home, prefix)), read, "row of facts")

    async def _gathered(self, one: Callable[[str], Awaitable[list[T]]], homes: Sequence[str]) -> list[T]:
        turnstile = asyncio.Semaphore(_AT_ONCE)

        async def waiting(home: str) -> list[T]:
            async with turnstile:
                return await one(home)

        return [each for found in await asyncio.gather(*map(waiting, homes)) for each in found]


def _fact_of(row: Row) -> AttemptFact | None:
    """Return the fact that a `new!` row holds; None where it holds a change of scores."""
    return None if "scores" in row.values else new_of(row)
