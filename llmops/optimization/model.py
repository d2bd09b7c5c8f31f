"""Proposals to spend less, as values: what each rests on, what it would change, and what it is thought to save."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from statistics import fmean, stdev
from typing import Any, Literal

ProposalKind = Literal[
    "cheaper_model",
    "output_limit",
    "reasoning_effort",
    "compaction",
    "judges",
    "prompt_cache",
    "retries",
    "wasted_spend",
    "unused_agent",
    "unused_versions",
    "idle_instances",
]
Risk = Literal["low", "medium", "high"]
ChangeKind = Literal["declare", "retire", "scale", "manual"]
MONTH_DAYS = 30
MOST_PROPOSALS = 200
"""Proposals of an optimization that are kept, those that save most."""
MEASURED_AFTER = timedelta(days=7)
"""How long after a change it is said what it has really saved, and how many days before it are compared."""


@dataclass(frozen=True, slots=True)
class OptimizationRequest:
    """What is asked for.

    Attributes:
        agent: The agent to look at; None for all.
        pool: The pool whose agents to look at; None for all.
        days: How many days of facts to go by, today among them.
        target: By how many percent spending is to fall; None for as far as it goes.
        preserve_performance: Whether to leave out what may lower scores, or cut answers.
        aggressive: Whether to propose what rests on less, or risks more.
    """

    agent: str | None = None
    pool: str | None = None
    days: int = 14
    target: float | None = None
    preserve_performance: bool = True
    aggressive: bool = False


@dataclass(frozen=True, slots=True)
class AgentProfile:
    """What the rules need to know of an agent as it is declared.

    Attributes:
        name: The agent.
        revision: Its declaration.
        provider: Who runs its model.
        model: Its model.
        instruction_tokens: Its instructions, in tokens as a rule of thumb counts them.
        max_output_tokens: Most tokens of an answer; None where it does not say.
        reasoning_effort: How much its model thinks; None where it does not say.
        judge_shares: The share of its answers that each of its judges hears, 0-1.
        max_history_tokens: Most tokens of a conversation that its model is told; None where it does not say.
        versions: Versions of it at its provider that a later one has superseded.
        superseded_at: Since when the last of them is.
        removable: Whether it is active, and neither pinned nor used by others.
        used_at: When it was declared or used last, aware UTC.
    """

    name: str
    revision: int
    provider: str
    model: str
    instruction_tokens: int
    max_output_tokens: int | None
    reasoning_effort: str | None
    judge_shares: Mapping[str, float]
    removable: bool
    used_at: datetime
    max_history_tokens: int | None = None
    versions: int = 0
    superseded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What a proposal would change.

    Attributes:
        kind: `declare` declares the agent with other fields, `retire` retires it, `scale` changes the app's instances,
            `manual` is for people to do.
        agent: The agent; empty where it is the app.
        revision: The declaration that it was proposed for.
        fields: With `declare`, the fields of the agent that get other values.
        body: With `declare`, the whole declaration with them; with `scale`, the policy under which the next plan brings
            back the instances that there were.
        advice: With `manual`, what to do.
        plan: With `scale`, the plan that is applied (`llmops.capacity.scaling`).
        diff: With `manual`, what is to be changed in a file or in the app's settings, as a unified diff.
    """

    kind: ChangeKind
    agent: str
    revision: int
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    advice: str = ""
    plan: str = ""
    diff: str = ""


@dataclass(frozen=True, slots=True)
class Saving:
    """What is thought to be saved in 30 days, in micro-USD.

    Attributes:
        low: The least.
        likely: What the days that were looked at come to.
        high: The most.
    """

    low: int
    likely: int
    high: int

    def __add__(self, other: Saving) -> Saving:
        return Saving(self.low + other.low, self.likely + other.likely, self.high + other.high)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a change has really saved in the week after it, beside the week before.

    Attributes:
        runs_before: Runs answered or failed in the week before.
        runs_after: … and in the week after.
        cost_per_run_before: What they cost each, in micro-USD; None where there were none, or a price is not known.
        cost_per_run_after: … and after.
        saved_micro_usd: The difference, times the runs after; None where it cannot be said.
        quality_before: The mean score, 0-100; None without scores.
        quality_after: … and after.
    """

    runs_before: int
    runs_after: int
    cost_per_run_before: float | None
    cost_per_run_after: float | None
    saved_micro_usd: int | None
    quality_before: float | None
    quality_after: float | None


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A call of this API."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    if_match: str | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """That a proposal was applied.

    Attributes:
        at: When, aware UTC.
        revision: The agent's declaration after it.
        by: Who did; empty where that is not known.
    """

    at: datetime
    revision: int
    by: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One way to spend less.

    Attributes:
        id: Names it in its optimization: the kind and the agent.
        kind: Which rule found it.
        agent: Whose spending falls.
        title: What it is, in a sentence.
        evidence: What it rests on; money in micro-USD, shares 0-1.
        formula: How the saving was computed, in words.
        saving: What is thought to be saved.
        risk: How likely it is to do harm.
        harm: Which harm that would be.
        change: What is changed.
        recommended: Whether it is among those that reach the target.
        begun: Whether applying it was begun; it may be done.
        applied: That it was applied; None before.
    """

    id: str
    kind: ProposalKind
    agent: str
    title: str
    evidence: Mapping[str, float | str]
    formula: str
    saving: Saving
    risk: Risk
    harm: str
    change: Change
    recommended: bool = False
    begun: bool = False
    applied: Applied | None = None


@dataclass(frozen=True, slots=True)
class Optimization:
    """What was found when it was asked for.

    Attributes:
        id: Its id.
        created_at: When, aware UTC.
        request: What was asked for.
        first: The first UTC day that was looked at.
        last: The last.
        facts: How many facts were read.
        whole: Whether these were all; else they are the latest of each day.
        spent_micro_usd: What they cost.
        projected_micro_usd: What that comes to in 30 days.
        target_reached: Whether the recommended proposals are thought to reach the target.
        proposals: What was found, the most saving first.
    """

    id: str
    created_at: datetime
    request: OptimizationRequest
    first: date
    last: date
    facts: int
    whole: bool
    spent_micro_usd: int
    projected_micro_usd: int
    target_reached: bool
    proposals: tuple[Proposal, ...]

    @property
    def savings(self) -> Saving:
        """What the recommended proposals are thought to save in 30 days."""
        return sum((one.saving for one in self.proposals if one.recommended), Saving(0, 0, 0))

    def proposal(self, ident: str) -> Proposal | None:
        """Return the proposal of that id."""
        return next((one for one in self.proposals if one.id == ident), None)

    def having(self, changed: Proposal) -> Optimization:
        """Return it with the proposal in place of the one of its id."""
        proposals = tuple(changed if one.id == changed.id else one for one in self.proposals)
        return replace(self, proposals=proposals)


def calls_of(change: Change) -> tuple[ApiCall | None, ApiCall | None]:
    """Return the call that makes the change and the one that undoes it; None where people have to."""
    agent = f"/api/agents/{change.agent}"
    match change.kind:
        case "declare":
            do = ApiCall("PUT", agent, change.body, f'"{change.revision}"')
            return do, ApiCall("POST", f"{agent}/rollback", {"revision": change.revision})
        case "retire":
            return ApiCall("POST", f"{agent}/retire"), ApiCall("POST", f"{agent}/restore")
        case "scale":
            undo = ApiCall("PUT", "/api/scaling/policy", change.body)
            return ApiCall("POST", "/api/scaling/apply", {"id": change.plan}), undo
        case "manual":
            return None, None


def projection(daily: Sequence[int]) -> Saving:
    """Return what savings of so many a day, in micro-USD, come to in 30 days.

    The range is the 95 % interval of the daily mean (mean ± 1.96 s/√n), never below nothing; of a single day, which
    says nothing of other days, it is from nothing to twice as much.
    """
    if not daily:
        return Saving(0, 0, 0)
    mean = fmean(daily)
    margin = 1.96 * stdev(daily) / math.sqrt(len(daily)) if len(daily) > 1 else mean
    low, high = max(0.0, mean - margin), mean + margin
    return Saving(round(low * MONTH_DAYS), round(mean * MONTH_DAYS), round(high * MONTH_DAYS))


def recommend(
    proposals: Sequence[Proposal], projected_micro_usd: int, target: float | None
) -> tuple[bool, list[Proposal]]:
    """Return whether the target is reached, and the proposals, the most saving first, with what reaches it recommended.

    Those of little risk are taken first, of these the ones that save most, until the target is reached; without a
    target, all. Each saving was computed as if its change were the only one: of two that concern the same agent the sum
    is an upper bound.
    """
    order: dict[Risk, int] = {"low": 0, "medium": 1, "high": 2}
    by_risk = sorted(proposals, key=lambda one: (order[one.risk], -one.saving.likely))
    wanted = None if target is None else projected_micro_usd * target / 100
    chosen: set[str] = set()
    saved = 0
    for one in by_risk:
        if wanted is not None and (saved >= wanted or not one.saving.likely):
            continue
        chosen.add(one.id)
        saved += one.saving.likely
    found = [replace(one, recommended=one.id in chosen) for one in proposals]
    return wanted is None or saved >= wanted > 0, sorted(found, key=lambda one: (-one.saving.likely, one.id))
