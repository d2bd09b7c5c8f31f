"""What facts say could cost less: one rule for each kind of proposal, and every threshold here. Pure.

A rule that has too little to go by says nothing: no model is proposed that has not answered for the agent, with scores.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from statistics import fmean, variance

from llmops.facts.model import AttemptFact, Call, Ending
from llmops.optimization.model import AgentProfile, Change, OptimizationRequest, Proposal, Risk, projection
from llmops.spend.pricing import Rates
from llmops.spend.usage import Usage

MIN_SCORED = 20
"""Fewest scored answers of each model that a comparison goes by; a third of it where risk is asked for."""
MIN_CALLS = 50
"""Fewest model calls that a rule on tokens goes by."""
BEARS = 2.0
"""Points by which scores may surely have fallen at most, with 95 % confidence, where performance is preserved …"""
MAY_FALL = 10.0
"""… and by which the mean may be lower, where it is not."""
WORTH = 0.02
"""Share of an agent's spend that a proposal must save at least."""
JUDGED_ENOUGH = 100
"""Answers to be judged in 30 days, of which more say little more."""
CACHEABLE = 1024
"""Tokens that a prompt must begin with the same, at least, for providers to cache it."""
CACHED_LITTLE = 0.2
"""Share of cached input below which the order of the prompt is in question."""
WASTED = 0.1
"""Share of the spend without an answer from which on it is a proposal's business."""
_LIMIT_STEP = 50
THOUGHT = 0.5
"""Share of the output that is reasoning from which on the effort is in question."""
_LESS_EFFORT: Mapping[str, str] = {"high": "medium", "medium": "low", "low": "minimal"}

_CURES: Mapping[str, str] = {
    "provider_throttled": "Put the model behind a route with a second deployment: PUT /api/routes/{name}, then declare "
    "the agent with provider 'route' and that name for a model.",
    "provider_unavailable": "Put the model behind a route with a deployment in another region: PUT /api/routes/{name}, "
    "then declare the agent with provider 'route' and that name for a model.",
    "run_timeout": "Shorten what the agent does in a run, or raise RUN_TIMEOUT_S.",
    "content_filter": "Look at what users ask, and adjust the instructions.",
    "worker_lost": "Look at the host's log for crashes and at its memory.",
}


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


def proposals_of(history: AgentHistory) -> list[Proposal]:
    """Return what the rules propose for an agent."""
    return [found for rule in _RULES if (found := rule(history)) is not None]


def cheaper_model(history: AgentHistory) -> Proposal | None:
    """Return a proposal of the model that saves most of those that the agent's scores bear."""
    profile, request = history.profile, history.request
    if profile.provider == "route":
        return None  # its route says which models answer
    scores: dict[str, list[int]] = defaultdict(list)
    for fact in history.facts:
        if fact.score is not None and fact.ending is Ending.SUCCEEDED and not fact.judge and fact.calls:
            scores[_asked(fact)].append(fact.score.overall)
    enough = MIN_SCORED // 3 if request.aggressive else MIN_SCORED
    current = scores.get(profile.model, [])
    if len(current) < enough:
        return None
    found = [
        proposal
        for model, other in scores.items()
        if model != profile.model and len(other) >= enough
        if (proposal := _other_model(history, model, current, other)) is not None
    ]
    return max(found, key=lambda one: one.saving.likely, default=None)


def _other_model(history: AgentHistory, model: str, current: Sequence[int], other: Sequence[int]) -> Proposal | None:
    difference = fmean(other) - fmean(current)
    margin = 1.96 * math.sqrt(variance(current) / len(current) + variance(other) / len(other))
    surely = difference - margin >= -BEARS
    if not surely and (history.request.preserve_performance or difference < -MAY_FALL):
        return None
    saved: dict[date, int] = defaultdict(int)
    cost = would = 0
    for day, call in history.calls():
        if (call.requested or call.model) != history.profile.model:
            continue
        priced = history.rates.price(model, call.usage, call.at).cost_micro_usd
        if priced is None or call.cost_micro_usd is None:
            return None  # what it costs is not known, so neither is what it saves
        cost, would = cost + call.cost_micro_usd, would + priced + call.tool_micro_usd
        saved[day] += call.cost_micro_usd - priced - call.tool_micro_usd
    if cost - would < WORTH * history.spent or cost == would:
        return None
    risk: Risk = "low" if difference - margin >= 0 else "medium" if surely else "high"
    return replace(
        history.propose("cheaper_model", history.change(model=model), saved),
        title=f"Answer with {model} instead of {history.profile.model}.",
        evidence={
            "scored": len(current),
            "mean_score": round(fmean(current), 2),
            "scored_with_other": len(other),
            "mean_score_with_other": round(fmean(other), 2),
            "difference": round(difference, 2),
            "difference_margin_95": round(margin, 2),
            "cost_micro_usd": cost,
            "cost_with_other_micro_usd": would,
        },
        formula="recorded calls of the current model, each at the other model's price for the same tokens",
        risk=risk,
        harm="Answers may score lower; the other model may also need more tokens for the same answer.",
    )


def output_limit(history: AgentHistory) -> Proposal | None:
    """Return a proposal that keeps the longest answers from becoming longer still."""
    calls = [(day, call) for day, call in history.calls() if call.cost_micro_usd is not None]
    if len(calls) < MIN_CALLS:
        return None
    lengths = sorted(call.usage.output_tokens for _, call in calls)
    quantile = 0.95 if history.request.aggressive else 0.99
    usual = lengths[min(len(lengths) - 1, math.ceil(len(lengths) * quantile) - 1)]
    limit = -(-round(usual * 1.1) // _LIMIT_STEP) * _LIMIT_STEP
    cut = sum(length > limit for length in lengths)
    known = history.profile.max_output_tokens
    if not cut or (known is not None and known <= limit):
        return None
    if history.request.preserve_performance and cut > 0.01 * len(lengths):
        return None
    saved: dict[date, int] = defaultdict(int)
    for day, call in calls:
        over = call.usage.output_tokens - limit
        if over > 0:
            reasoning = min(call.usage.reasoning_tokens, limit)
            shorter = replace(call.usage, output_tokens=limit, reasoning_tokens=reasoning)
            saved[day] += _price(history, call, call.usage) - _price(history, call, shorter)
    return _worth(
        history,
        replace(
            history.propose("output_limit", history.change(max_output_tokens=limit), saved),
            title=f"Limit answers to {limit} tokens.",
            evidence={
                "calls": len(lengths),
                "median_output_tokens": lengths[len(lengths) // 2],
                "usual_most_output_tokens": usual,
                "longest_output_tokens": lengths[-1],
                "calls_above": cut,
                "share_above": round(cut / len(lengths), 4),
            },
            formula="the price of output tokens above the limit, of the recorded calls",
            risk="medium",
            harm=f"{cut} of {len(lengths)} answers would have been cut.",
        ),
    )


def reasoning_effort(history: AgentHistory) -> Proposal | None:
    """Return a proposal to have the model think less, where most of what is paid for is its thinking."""
    lower = _LESS_EFFORT.get(history.profile.reasoning_effort or "medium")
    calls = [(day, call) for day, call in history.calls() if call.cost_micro_usd is not None]
    made = sum(call.usage.output_tokens for _, call in calls)
    thought = sum(call.usage.reasoning_tokens for _, call in calls)
    if history.request.preserve_performance or lower is None or len(calls) < MIN_CALLS or thought < THOUGHT * made:
        return None
    saved: dict[date, int] = defaultdict(int)
    for day, call in calls:
        usage = call.usage
        without = replace(usage, output_tokens=usage.output_tokens - usage.reasoning_tokens, reasoning_tokens=0)
        saved[day] += _price(history, call, usage) - _price(history, call, without)
    proposal = history.propose("reasoning_effort", history.change(reasoning_effort=lower), saved)
    return _worth(
        history,
        replace(
            proposal,
            title=f"Have the model think with effort {lower}.",
            evidence={
                "calls": len(calls),
                "output_tokens": made,
                "reasoning_tokens": thought,
                "reasoning_share": round(thought / max(1, made), 4),
            },
            formula="the price of the recorded reasoning tokens: at most all of it; likely half, an assumption",
            saving=replace(proposal.saving, low=0, likely=proposal.saving.likely // 2),
            risk="high",
            harm="Answers may be worse, and no score says by how much before it was tried.",
        ),
    )


def judges(history: AgentHistory) -> Proposal | None:
    """Return a proposal to have fewer answers judged, where there are more than it takes to know the mean."""
    spent: dict[str, dict[date, int]] = defaultdict(lambda: defaultdict(int))
    heard: Counter[str] = Counter()
    for fact in history.facts:
        if fact.judge:
            spent[fact.judge][fact.timing.ended_at.date()] += fact.cost_micro_usd
            heard[fact.judge] += 1
    if not spent:
        return None
    dearest = max(spent, key=lambda judge: sum(spent[judge].values()))
    share = history.profile.judge_shares.get(dearest)
    if share is None:
        return None
    monthly = heard[dearest] * 30 / max(1, len(history.days))
    least = 0.02 if history.request.aggressive else 0.05
    new = round(min(share, max(least, share * JUDGED_ENOUGH / monthly)), 3)
    if new > share * 0.8:
        return None
    saved = {day: round(cost * (1 - new / share)) for day, cost in spent[dearest].items()}
    return _worth(
        history,
        replace(
            history.propose("judges", history.change(evaluation={dearest: {"share": new}}), saved),
            title=f"Have {new:.1%} of the answers judged instead of {share:.1%}.",
            evidence={
                "judge": dearest,
                "judged": heard[dearest],
                "judged_in_30_days": round(monthly),
                "cost_micro_usd": sum(spent[dearest].values()),
                "share_of_spend": round(sum(spent[dearest].values()) / max(1, history.spent), 4),
            },
            formula="what the judge cost × (1 - new share / share)",
            risk="low",
            harm="A fall of quality is noticed later; the mean is known less exactly.",
        ),
    )


def prompt_cache(history: AgentHistory) -> Proposal | None:
    """Return a proposal to order the prompt for the provider's cache, where long instructions are not read from it."""
    prefix = history.profile.instruction_tokens
    calls = [(day, call) for day, call in history.calls() if call.cost_micro_usd is not None]
    given = sum(call.usage.input_tokens for _, call in calls)
    cached = sum(call.usage.cached_tokens for _, call in calls)
    if prefix < CACHEABLE or len(calls) < MIN_CALLS or cached >= CACHED_LITTLE * given:
        return None
    saved: dict[date, int] = defaultdict(int)
    for day, call in calls:
        usage = call.usage
        reach = min(max(usage.cached_tokens, prefix), usage.input_tokens - usage.cache_write_tokens)
        saved[day] += _price(history, call, usage) - _price(history, call, replace(usage, cached_tokens=reach))
    advice = (
        "Move what differs from run to run (dates, names, a user's data) out of the instructions, or to their end, so "
        "that every prompt begins with the same tokens; keep a conversation at one deployment (a route does)."
    )
    proposal = history.propose("prompt_cache", history.advice(advice), saved)
    saving = replace(proposal.saving, low=0, likely=proposal.saving.likely // 2)
    return _worth(
        history,
        replace(
            proposal,
            title="Let the provider's prompt cache know the instructions.",
            evidence={
                "calls": len(calls),
                "instruction_tokens": prefix,
                "input_tokens": given,
                "cached_share": round(cached / max(1, given), 4),
            },
            formula="the instructions of every recorded call at the price of cached input; likely is half of it, as "
            "not every call comes while the cache still knows them",
            saving=saving,
            risk="low",
            harm="None to answers, where the instructions say the same.",
        ),
    )


def wasted_spend(history: AgentHistory) -> Proposal | None:
    """Return a proposal that goes at the most frequent cause of calls that were paid and brought no answer."""
    wasted: dict[date, int] = defaultdict(int)
    causes: Counter[str] = Counter()
    for fact in history.facts:
        if not fact.judge and fact.wasted_micro_usd:
            wasted[fact.timing.ended_at.date()] += fact.wasted_micro_usd
            causes[fact.code or fact.ending.value] += fact.wasted_micro_usd
    total = sum(wasted.values())
    if total < WASTED * history.spent or not total:
        return None
    cause, share = causes.most_common(1)[0]
    runaway = cause == "runaway_loop"
    change = history.change(runaway={"same_tool_calls": 3}) if runaway else history.advice(_CURES.get(cause, _LOOK))
    proposal = history.propose("wasted_spend", change, wasted)
    likely = proposal.saving.likely * share // total
    return replace(
        proposal,
        title=f"End what is paid without an answer, mostly for {cause}.",
        evidence={
            "wasted_micro_usd": total,
            "share_of_spend": round(total / max(1, history.spent), 4),
            "cause": cause,
            "cause_micro_usd": share,
        },
        formula="what attempts cost that no answer came of: at most all of it, likely what the first cause took",
        saving=replace(proposal.saving, low=0, likely=likely),
        risk="medium" if runaway else "low",
        harm="A run that calls a tool often for a good reason is stopped." if runaway else "None by itself.",
    )


def unused_agent(history: AgentHistory) -> Proposal | None:
    """Return a proposal to retire an agent that nobody has used in all these days; it costs sight, not money."""
    profile = history.profile
    unused = history.days and profile.used_at.date() < history.days[-1] - timedelta(days=history.request.days - 1)
    if history.facts or not profile.removable or not unused:
        return None
    change = Change("retire", profile.name, profile.revision)
    return replace(
        history.propose("unused_agent", change, {}),
        title="Retire an agent that nobody uses.",
        evidence={"runs": 0, "used_at": profile.used_at.isoformat()},
        formula="nothing: an agent that is not asked costs nothing at the provider; it only stands in the way",
        risk="low",
        harm="Its next run waits until it is made again.",
    )


_LOOK = "Read some of these runs: GET /api/runs?state=failed, and their steps."
_RULES: Sequence[Callable[[AgentHistory], Proposal | None]] = (
    cheaper_model,
    output_limit,
    reasoning_effort,
    judges,
    prompt_cache,
    wasted_spend,
    unused_agent,
)


def _worth(history: AgentHistory, proposal: Proposal) -> Proposal | None:
    """Return the proposal if it saves enough to be worth anybody's while."""
    monthly = projection(history.daily(_spent_by_day(history))).likely
    return proposal if proposal.saving.likely >= max(1, WORTH * monthly) else None


def _spent_by_day(history: AgentHistory) -> Mapping[date, int]:
    spent: dict[date, int] = defaultdict(int)
    for fact in history.facts:
        spent[fact.timing.ended_at.date()] += fact.cost_micro_usd
    return spent


def _price(history: AgentHistory, call: Call, usage: Usage) -> int:
    """Return what the call would have cost with this usage, in micro-USD; as it is known to have a price."""
    asked = call.requested or call.model
    return history.rates.price(asked, usage, call.at, call.model).cost_micro_usd or 0


def _asked(fact: AttemptFact) -> str:
    """Return the model that the answer was asked of."""
    last = next((call for call in reversed(fact.calls) if call.outcome in ("answered", "unmetered")), None)
    return (last.requested or last.model) if last else ""
