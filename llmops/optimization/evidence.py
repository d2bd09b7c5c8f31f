"""The input of the savings rules: an agent, its facts over some days, and the prices of models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from llmops.facts.model import AttemptFact, Call
from llmops.optimization.model import AgentProfile, Change, OptimizationRequest, Proposal, projection
from llmops.spend.pricing import Rates
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
