"""The savings rules about tokens: length of answers, reasoning effort, history and prompt caching. Pure functions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from llmops.optimization.rule_input import AgentHistory, price, worth

if TYPE_CHECKING:
    from llmops.facts.attempt_fact import Call
    from llmops.optimization.proposals import Proposal

MIN_CALLS = 50
"""Fewest model calls for a rule about tokens."""
CACHEABLE = 1024
"""Shortest common prefix, in tokens, that providers cache."""
CACHED_LITTLE = 0.2
"""Share of cached input below which the prompt's order is examined."""
THOUGHT = 0.5
"""Share of output spent on reasoning above which the effort is examined."""
HISTORY_SHARE = 0.5
"""Share of input that is history above which its limit is examined."""
_LIMIT_STEP = 50
_HISTORY_STEP, _LEAST_HISTORY = 500, 1000
_LESS_EFFORT: Mapping[str, str] = {"high": "medium", "medium": "low", "low": "minimal"}


def output_limit(history: AgentHistory) -> Proposal | None:
    """Return a proposal for an output limit, so that the longest answers do not become longer."""
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
            saved[day] += price(history, call, call.usage) - price(history, call, shorter)
    return worth(
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
    """Return a proposal for a lower reasoning effort, where most of the output is reasoning."""
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
        saved[day] += price(history, call, usage) - price(history, call, without)
    proposal = history.propose("reasoning_effort", history.change(reasoning_effort=lower), saved)
    return worth(
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


def compaction(history: AgentHistory) -> Proposal | None:
    """Return a proposal to limit the history in the input, where it is most of it.

    History is the amount by which the input of a run exceeds that of its session's first run.
    """
    first: dict[str, int] = {}
    calls_after: list[tuple[date, Call, int]] = []
    given = 0
    for fact in history.facts:
        calls = [call for call in fact.calls if call.outcome == "answered" and call.cost_micro_usd is not None]
        if fact.judge or not calls:
            continue
        begins = first.setdefault(fact.who.session_id, calls[0].usage.input_tokens)
        before = max(0, calls[0].usage.input_tokens - begins)
        calls_after += [(fact.timing.ended_at.date(), call, before) for call in calls]
        given += sum(call.usage.input_tokens for call in calls)
    history_tokens = sorted(before for _, _, before in calls_after if before)
    if (
        history.request.preserve_performance
        or len(history_tokens) < MIN_CALLS
        or sum(history_tokens) < HISTORY_SHARE * given
    ):
        return None
    limit = max(_LEAST_HISTORY, math.ceil(history_tokens[len(history_tokens) // 2] / _HISTORY_STEP) * _HISTORY_STEP)
    known = history.profile.max_history_tokens
    longer = sum(before > limit for before in history_tokens)
    if not longer or (known is not None and known <= limit):
        return None
    saved: dict[date, int] = defaultdict(int)
    for day, call, before in calls_after:
        over = min(max(0, before - limit), call.usage.input_tokens - call.usage.cache_write_tokens)
        if over > 0:  # cached tokens are removed first: that saves least
            cached = max(0, call.usage.cached_tokens - over)
            less = replace(call.usage, input_tokens=call.usage.input_tokens - over, cached_tokens=cached)
            saved[day] += price(history, call, call.usage) - price(history, call, less)
    proposal = history.propose("compaction", history.change(max_history_tokens=limit), saved)
    return worth(
        history,
        replace(
            proposal,
            title=f"Tell the model at most {limit} tokens of a conversation.",
            evidence={
                "calls": len(calls_after),
                "input_tokens": given,
                "history_share": round(sum(history_tokens) / max(1, given), 4),
                "median_history_tokens": history_tokens[len(history_tokens) // 2],
                "longest_history_tokens": history_tokens[-1],
                "calls_above": longer,
            },
            formula="the price of the recorded input that is history above the limit, cached tokens first; at least "
            "nothing, as a history that is cut is read from the cache less often",
            saving=replace(proposal.saving, low=0),
            risk="high",
            harm="The model forgets what was said early in long conversations.",
        ),
    )


def prompt_cache(history: AgentHistory) -> Proposal | None:
    """Return a proposal to order the prompt for the provider's cache, where long instructions are not cached."""
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
        saved[day] += price(history, call, usage) - price(history, call, replace(usage, cached_tokens=reach))
    advice = (
        "Move what differs from run to run (dates, names, a user's data) out of the instructions, or to their end, so "
        "that every prompt begins with the same tokens; keep a conversation at one deployment (a route does)."
    )
    proposal = history.propose("prompt_cache", history.advice(advice), saved)
    saving = replace(proposal.saving, low=0, likely=proposal.saving.likely // 2)
    return worth(
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
