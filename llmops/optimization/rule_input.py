"""The input of savings rules and what-if replays: an agent, its facts over some days, and the prices of models."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from kernel.codec import readable
from kernel.lazy_dataclass import dataclass
from kernel.tables import Row, Span, Tables, first_rows
from llmops.facts.attempt_fact import AttemptFact, Call
from llmops.facts.fact_store import SHARDS, TABLE, days, kept_of, partition, shard
from llmops.facts.sum_reader import FactSums
from llmops.optimization.proposals import AgentProfile, Change, OptimizationRequest, Proposal, projection
from llmops.spend.pricing import Rates

if TYPE_CHECKING:
    from llmops.spend.usage import Usage

WORTH = 0.02
"""Least share of an agent's spend that a proposal must save, 0-1."""


@dataclass(frozen=True, slots=True)
class AgentHistory:
    """The input of the savings rules.

    Attributes:
        profile: The agent as declared.
        facts: Its facts, in order of their ends.
        days: The days, from the first with a fact of the workspace on.
        rates: The workspace's rates.
        request: The request.
    """

    profile: AgentProfile
    facts: Sequence[AttemptFact]
    days: Sequence[date]
    rates: Rates
    request: OptimizationRequest

    @property
    def spent(self) -> int:
        """Cost of the facts, in micro-USD."""
        return sum(fact.cost_micro_usd for fact in self.facts)

    def calls(self) -> Iterator[tuple[date, Call]]:
        """Yield the answered calls with their days."""
        for fact in self.facts:
            if not fact.judge:
                yield from ((fact.timing.ended_at.date(), call) for call in fact.calls if call.outcome == "answered")

    def daily(self, amounts: Mapping[date, int]) -> list[int]:
        """Return the amount of each day in order, 0 where there is none."""
        return [amounts.get(day, 0) for day in self.days]

    def propose(self, kind: str, change: Change, amounts: Mapping[date, int]) -> Proposal:
        """Return a proposal whose texts are still empty."""
        name = self.profile.name
        return Proposal(f"{kind}:{name}", kind, name, "", {}, "", projection(self.daily(amounts)), "low", "", change)  # pyright: ignore[reportArgumentType] - one of ProposalKind

    def change(self, **fields: object) -> Change:
        """Return the change of these fields of the agent."""
        return Change("declare", self.profile.name, self.profile.revision, fields)

    def advice(self, text: str) -> Change:
        """Return a change that people have to make themselves."""
        return Change("manual", self.profile.name, self.profile.revision, advice=text)


def worth(history: AgentHistory, proposal: Proposal) -> Proposal | None:
    """Return the proposal if it saves at least the least share; else None."""
    monthly = projection(history.daily(_spent_by_day(history))).likely
    return proposal if proposal.saving.likely >= max(1, WORTH * monthly) else None


def _spent_by_day(history: AgentHistory) -> Mapping[date, int]:
    spent: dict[date, int] = defaultdict(int)
    for fact in history.facts:
        spent[fact.timing.ended_at.date()] += fact.cost_micro_usd
    return spent


def price(history: AgentHistory, call: Call, usage: Usage) -> int:
    """Return the cost of the call with this usage, in micro-USD; its price must be known."""
    asked = call.requested or call.model
    return history.rates.price(asked, usage, call.at, call.model).cost_micro_usd or 0


MOST_FACTS = 20_000
"""Most facts read, a few seconds of work; of more, an equal share of each day's and shard's."""
_PAGE = 1000
_AT_ONCE = 8


class FactHistory:
    """Reads the facts of a workspace.

    Attributes:
        figures: Reader of facts' sums.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.figures = FactSums(tables)

    async def read(
        self, workspace: str, agent: str | None, first: date, last: date, most: int = MOST_FACTS
    ) -> tuple[Sequence[AttemptFact], bool]:
        """Return the facts of attempts that ended on these UTC days (both included), and whether these are all.

        They are in order of their ends. Where there are too many, an agent's latest runs are kept.

        Args:
            workspace: The workspace.
            agent: The agent; None for all.
            first: The first day.
            last: The last day.
            most: Most facts to read.
        """
        shards = range(SHARDS) if agent is None else [shard(workspace, agent)]
        homes = [partition(day, number) for day in days(first, last) for number in shards]
        prefix = f"fact!{workspace}!" if agent is None else f"fact!{workspace}!{agent}!"
        rows: dict[str, list[Row]] = {home: [] for home in homes}
        unread = homes
        # What some days and shards leave of their share is used for the others.
        while unread and (left := most - sum(map(len, rows.values()))) > 0:
            share = max(1, left // len(unread))
            more: list[str] = []
            for start in range(0, len(unread), _AT_ONCE):
                batch = unread[start : start + _AT_ONCE]
                reads = (self._rows(home, prefix, share, rows[home][-1].key if rows[home] else None) for home in batch)
                for home, page in zip(batch, await asyncio.gather(*reads), strict=True):
                    rows[home] += page
                    if len(page) == share:
                        more.append(home)
            unread = more
        found = [kept.fact for each in rows.values() for kept in readable(each, kept_of, "fact")]
        return sorted(found, key=lambda fact: fact.timing.ended_at), not unread

    async def _rows(self, home: str, prefix: str, most: int, after: str | None) -> Sequence[Row]:
        rows: list[Row] = []
        while len(rows) < most:
            wanted = min(most - len(rows), _PAGE)
            page = await first_rows(self._tables, TABLE, Span.prefix(home, prefix, after=after), wanted)
            rows += page
            if len(page) < wanted:
                break
            after = page[-1].key
        return rows
