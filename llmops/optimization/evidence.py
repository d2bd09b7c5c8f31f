"""What the rules on savings look at: an agent, its facts in a number of days, and what models cost."""

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
"""Share of an agent's spend that a proposal must save at least."""


@dataclass(frozen=True, slots=True)
class AgentHistory:
    """What a rule looks at: an agent, its facts in a number of days, and what models cost.

    Attributes:
        profile: The agent as it is declared.
        facts: Its facts, in the order of their ends.
        days: The days, from the first with a fact of the workspace on.
        rates: What the workspace pays.
        request: What is asked for.
    """

    profile: AgentProfile
    facts: Sequence[AttemptFact]
    days: Sequence[date]
    rates: Rates
    request: OptimizationRequest

    @property
    def spent(self) -> int:
        """What its facts cost, in micro-USD."""
        return sum(fact.cost_micro_usd for fact in self.facts)

    def calls(self) -> Iterator[tuple[date, Call]]:
        """Yield the calls that answered, with their days."""
        for fact in self.facts:
            if not fact.judge:
                yield from ((fact.timing.ended_at.date(), call) for call in fact.calls if call.outcome == "answered")

    def daily(self, amounts: Mapping[date, int]) -> list[int]:
        """Return the amounts of all days in order, 0 where there is none."""
        return [amounts.get(day, 0) for day in self.days]

    def propose(self, kind: str, change: Change, amounts: Mapping[date, int]) -> Proposal:
        """Return a proposal that is still without words."""
        name = self.profile.name
        return Proposal(f"{kind}:{name}", kind, name, "", {}, "", projection(self.daily(amounts)), "low", "", change)  # pyright: ignore[reportArgumentType] - one of ProposalKind

    def change(self, **fields: object) -> Change:
        """Return the change of these fields of the agent."""
        return Change("declare", self.profile.name, self.profile.revision, fields)

    def advice(self, text: str) -> Change:
        """Return what people are to do."""
        return Change("manual", self.profile.name, self.profile.revision, advice=text)


def worth(history: AgentHistory, proposal: Proposal) -> Proposal | None:
    """Return the proposal if it saves enough to be worth anybody's while."""
    monthly = projection(history.daily(_spent_by_day(history))).likely
    return proposal if proposal.saving.likely >= max(1, WORTH * monthly) else None


def _spent_by_day(history: AgentHistory) -> Mapping[date, int]:
    spent: dict[date, int] = defaultdict(int)
    for fact in history.facts:
        spent[fact.timing.ended_at.date()] += fact.cost_micro_usd
    return spent


def price(history: AgentHistory, call: Call, usage: Usage) -> int:
    """Return what the call would have cost with this usage, in micro-USD; as it is known to have a price."""
    asked = call.requested or call.model
    return history.rates.price(asked, usage, call.at, call.model).cost_micro_usd or 0
