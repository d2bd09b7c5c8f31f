"""Proposals to lower costs, as values: their evidence, the change, and the estimated saving."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from datetime import date, datetime, timedelta
from statistics import fmean, stdev
from typing import Any, Literal

from kernel.lazy_dataclass import dataclass

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
"""Most proposals kept of an optimization, those with the largest savings."""
MEASURED_AFTER = timedelta(days=7)
"""Days after a change until its actual saving is measured, and days before it for comparison."""


@dataclass(frozen=True, slots=True)
class OptimizationRequest:
    """A request for proposals.

    Attributes:
        agent: The agent; None for all.
        pool: Restricts it to the agents of this pool; None for all.
        days: Days of facts to use, including today.
        target: By how many percent to lower the spending; None for as much as possible.
        preserve_performance: Whether to leave out proposals that may lower scores or cut off answers.
        aggressive: Whether to include proposals with less evidence or more risk.
    """

    agent: str | None = None
    pool: str | None = None
    days: int = 14
    target: float | None = None
    preserve_performance: bool = True
    aggressive: bool = False


@dataclass(frozen=True, slots=True)
class AgentProfile:
    """What the rules need of an agent's declaration.

    Attributes:
        name: The agent.
        revision: Revision of its declaration.
        provider: Its provider.
        model: Its model.
        instruction_tokens: Estimated length of its instructions in tokens.
        max_output_tokens: Most output tokens; None where not set.
        reasoning_effort: Reasoning effort of the model; None where not set.
        judge_shares: Share of its answers judged, by judge, 0-1.
        max_history_tokens: Most tokens of earlier conversation in the input; None where not set.
        versions: Number of superseded versions still at its provider.
        superseded_at: When the last of them was superseded, aware UTC.
        removable: Whether it is active, and neither pinned nor used by other agents.
        used_at: When it was last declared or used, aware UTC.
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
            `manual` has to be made by people.
        agent: The agent; empty for a change of the app.
        revision: Revision of the declaration it was proposed for.
        fields: With `declare`, the changed fields of the agent.
        body: With `declare`, the whole declaration after the change; with `scale`, the policy with which the next plan
            restores the previous instances.
        advice: With `manual`, what to do.
        plan: With `scale`, the id of the plan (`llmops.capacity.scaling_forecast`).
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
    """The estimated saving over 30 days, in micro-USD.

    Attributes:
        low: Lower bound.
        likely: Projection of the days examined.
        high: Upper bound.
    """

    low: int
    likely: int
    high: int

    def __add__(self, other: Saving) -> Saving:
        return Saving(self.low + other.low, self.likely + other.likely, self.high + other.high)


@dataclass(frozen=True, slots=True)
class Measured:
    """The actual saving of a change in the week after it, compared with the week before.

    Attributes:
        runs_before: Runs answered or failed in the week before.
        runs_after: Runs answered or failed in the week after.
        cost_per_run_before: Cost per run in micro-USD; None without runs, or when a price is not known.
        cost_per_run_after: The same for the week after.
        saved_micro_usd: The difference times the runs after; None where it cannot be computed.
        quality_before: Mean score, 0-100; None without scores.
        quality_after: The same for the week after.
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
    """The application of a proposal.

    Attributes:
        at: When it was applied, aware UTC.
        revision: Revision of the agent's declaration after it.
        by: Who applied it; empty where that is not known.
    """

    at: datetime
    revision: int
    by: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal to lower costs.

    Attributes:
        id: Identifies it within its optimization: the kind and the agent.
        kind: The rule that made it.
        agent: The agent whose spending falls.
        title: One sentence.
        evidence: The figures it is based on; money in micro-USD, shares 0-1.
        formula: How the saving was computed, in words.
        saving: The estimated saving.
        risk: Likelihood of harm.
        harm: The harm.
        change: The change.
        recommended: Whether it is one of those that together reach the target.
        begun: Whether applying it was begun; the change may have been made.
        applied: The application; None before.
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
    """The result of an optimization request.

    Attributes:
        id: Its id.
        created_at: When it was made, aware UTC.
        request: The request.
        first: First UTC day examined.
        last: Last UTC day examined.
        facts: Number of facts read.
        whole: Whether these were all; else they are the latest of each day.
        spent_micro_usd: Their cost.
        projected_micro_usd: That cost projected to 30 days.
        target_reached: Whether the recommended proposals are estimated to reach the target.
        proposals: The proposals, largest saving first.
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
        """The total estimated saving of the recommended proposals over 30 days."""
        return sum((one.saving for one in self.proposals if one.recommended), Saving(0, 0, 0))

    def proposal(self, ident: str) -> Proposal | None:
        """Return the proposal of that id."""
        return next((one for one in self.proposals if one.id == ident), None)

    def having(self, changed: Proposal) -> Optimization:
        """Return the optimization with the proposal of the same id replaced."""
        proposals = tuple(changed if one.id == changed.id else one for one in self.proposals)
        return replace(self, proposals=proposals)


def calls_of(change: Change) -> tuple[ApiCall | None, ApiCall | None]:
    """Return the API call that makes the change and the one that undoes it; None each where people have to."""
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
    """Return daily savings in micro-USD projected to 30 days.

    The range is the 95 % confidence interval of the daily mean (mean ± 1.96 s/√n), never below 0; for a single day it
    is from 0 to twice the amount.
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
    """Return whether the target is reached, and the proposals, largest saving first, with `recommended` set.

    Low risk is taken first, and among equal risk the largest saving, until the target is reached; without a target,
    all. Each saving was estimated on its own: for two proposals about the same agent the sum is an upper bound.
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
