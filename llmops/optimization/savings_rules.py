"""The savings rules: one for each kind of proposal. Pure functions.

A rule without enough evidence proposes nothing: no model is proposed that has not answered for the agent, with scores.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from statistics import fmean, variance

from llmops.facts.attempt_fact import AttemptFact, Ending
from llmops.optimization.proposals import Change, Proposal, Risk
from llmops.optimization.rule_input import WORTH, AgentHistory, worth
from llmops.optimization.token_savings_rules import compaction, output_limit, prompt_cache, reasoning_effort

MIN_SCORED = 20
"""Fewest scored answers of each model for a comparison; a third of it with `aggressive`."""
BEARS = 2.0
"""With `preserve_performance`, the most points by which scores may fall, at 95 % confidence …"""
MAY_FALL = 10.0
"""… and without it, the most points by which the mean may fall."""
JUDGED_ENOUGH = 100
"""Judged answers in 30 days beyond which further ones add little precision."""
WASTED = 0.1
"""Least share of the spend without an answer for a proposal."""

_CURES: Mapping[str, str] = {
    "provider_throttled": "Put the model behind a route with a second deployment: PUT /api/routes/{name}, then declare "
    "the agent with provider 'route' and that name for a model.",
    "provider_unavailable": "Put the model behind a route with a deployment in another region: PUT /api/routes/{name}, "
    "then declare the agent with provider 'route' and that name for a model.",
    "run_timeout": "Shorten what the agent does in a run, or raise RUN_TIMEOUT_S.",
    "content_filter": "Look at what users ask, and adjust the instructions.",
    "worker_lost": "Look at the host's log for crashes and at its memory.",
}


def proposals_of(history: AgentHistory) -> list[Proposal]:
    """Return the proposals of all rules for an agent."""
    return [found for rule in _RULES if (found := rule(history)) is not None]


def cheaper_model(history: AgentHistory) -> Proposal | None:
    """Return a proposal for the model that saves most without lowering scores too far; None if there is none."""
    profile, request = history.profile, history.request
    if profile.provider == "route":
        return None  # the route determines which models answer
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
            return None  # without its price, the saving is not known either
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


def judges(history: AgentHistory) -> Proposal | None:
    """Return a proposal to judge fewer answers, where more are judged than the precision of the mean needs."""
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
    return worth(
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


def retries(history: AgentHistory) -> Proposal | None:
    """Return a proposal for fewer attempts, where later ones never succeed, else to mend the most frequent failure."""
    tried = [fact for fact in history.facts if not fact.judge]
    failed = [fact for fact in tried if fact.ending is Ending.RETRIED and fact.wasted_micro_usd]
    total = sum(fact.wasted_micro_usd for fact in failed)
    if total < WASTED * history.spent or not total:
        return None
    answered = [fact.attempt for fact in tried if fact.ending is Ending.SUCCEEDED]
    enough = max(answered, default=0)
    # Where no attempt ever answered, their number is not what is wrong.
    vain = [fact for fact in tried if answered and fact.attempt > enough and fact.cost_micro_usd]
    causes = Counter({fact.code or fact.ending.value: 0 for fact in failed})
    saved: dict[date, int] = defaultdict(int)
    for fact in failed:
        causes[fact.code or fact.ending.value] += fact.wasted_micro_usd
    for fact in vain or failed:
        saved[fact.timing.ended_at.date()] += fact.cost_micro_usd if vain else fact.wasted_micro_usd
    cause, _ = causes.most_common(1)[0]
    advice = f"Set RUN_MAX_ATTEMPTS to {enough}; it is of the whole app." if vain else _CURES.get(cause, _LOOK)
    diff = f"--- app settings\n+++ app settings\n@@\n+RUN_MAX_ATTEMPTS={enough}\n" if vain else ""
    proposal = history.propose("retries", replace(history.advice(advice), diff=diff), saved)
    return worth(
        history,
        replace(
            proposal,
            title=f"Give up after {enough} attempts." if vain else f"Have fewer attempts fail, mostly for {cause}.",
            evidence={
                "retried": len(failed),
                "wasted_micro_usd": total,
                "share_of_spend": round(total / max(1, history.spent), 4),
                "cause": cause,
                "last_attempt_that_answered": enough,
                "attempts_after_it": len(vain),
            },
            formula="what the attempts cost that came after the last one that ever answered"
            if vain
            else "what attempts cost that were made again from the start: at most all of it",
            saving=proposal.saving if vain else replace(proposal.saving, low=0),
            risk="medium" if vain else "low",
            harm="A run that a later attempt would have answered fails." if vain else "None by itself.",
        ),
    )


def wasted_spend(history: AgentHistory) -> Proposal | None:
    """Return a proposal against the most frequent cause of spending without an answer."""
    wasted: dict[date, int] = defaultdict(int)
    causes: Counter[str] = Counter()
    for fact in history.facts:
        if not fact.judge and fact.wasted_micro_usd and fact.ending is not Ending.RETRIED:
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
        formula="what runs cost that no answer came of: at most all of it, likely what the first cause took",
        saving=replace(proposal.saving, low=0, likely=likely),
        risk="medium" if runaway else "low",
        harm="A run that calls a tool often for a good reason is stopped." if runaway else "None by itself.",
    )


def unused_agent(history: AgentHistory) -> Proposal | None:
    """Return a proposal to retire an agent not used in the days examined; it saves clutter, not money."""
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


def unused_versions(history: AgentHistory) -> Proposal | None:
    """Return a proposal to end the sessions that keep superseded versions at the provider; it saves no money."""
    profile = history.profile
    since = profile.superseded_at
    if not profile.versions or since is None or not history.days or since.date() >= history.days[-1]:
        return None
    advice = (
        f"End the sessions that go on with them: GET /api/sessions?agent={profile.name}, POST /api/sessions/ID/end. "
        "The prune timer deletes a version that nobody needs any more."
    )
    return replace(
        history.propose("unused_versions", history.advice(advice), {}),
        title="End the conversations that keep superseded versions.",
        evidence={"versions": profile.versions, "superseded_at": since.isoformat()},
        formula="nothing: a version that is not asked costs nothing at the provider; it only stands in the way",
        risk="low",
        harm="Whoever writes in such a conversation begins a new one.",
    )


_LOOK = "Read some of these runs: GET /api/runs?state=failed, and their steps."
_RULES: Sequence[Callable[[AgentHistory], Proposal | None]] = (
    cheaper_model,
    output_limit,
    reasoning_effort,
    compaction,
    judges,
    prompt_cache,
    retries,
    wasted_spend,
    unused_agent,
    unused_versions,
)


def _asked(fact: AttemptFact) -> str:
    """Return the model that the answer was requested from."""
    last = next((call for call in reversed(fact.calls) if call.outcome in ("answered", "unmetered")), None)
    return (last.requested or last.model) if last else ""
