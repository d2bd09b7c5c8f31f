"""What-if: recorded facts recomputed under other prices, budgets, limits or retirement. Pure; calls no model.

The assumptions are part of each result. One holds for all: users would have asked the same.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from kernel.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from llmops.facts.attempt_fact import AttemptFact
    from llmops.spend.pricing import Rates

Figures = Mapping[str, float | None]
Unit = Literal["usd", "tokens", "calls", "runs"]
Period = Literal["day", "month", "total"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was recorded, and what it would have been.

    Attributes:
        figures: Results by name; money in micro-USD, times in ms, shares 0-1; None where not computable.
        groups: The same by model or agent, where useful.
        assumptions: The assumptions, as sentences.
    """

    figures: Figures
    groups: Mapping[str, Figures] = field(default_factory=dict[str, Figures])
    assumptions: tuple[str, ...] = ()


def other_prices(facts: Sequence[AttemptFact], rates: Rates, model: str | None) -> Outcome:
    """Return what the recorded calls would have cost.

    Args:
        facts: The facts.
        rates: The rates to apply.
        model: The model to price all calls as; None for their own.
    """
    cost: Counter[str] = Counter()
    would: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    unpriced: Counter[str] = Counter()
    for call in (call for fact in facts for call in fact.calls if call.outcome != "refused"):
        asked = call.requested or call.model
        priced = rates.price(model or asked, call.usage, call.at, None if model else call.model)
        calls[call.model] += call.count
        if priced.cost_micro_usd is None or call.cost_micro_usd is None:
            unpriced[call.model] += call.count
            continue
        cost[call.model] += call.cost_micro_usd
        would[call.model] += priced.cost_micro_usd + call.tool_micro_usd
    groups = {
        name: {
            "calls": calls[name],
            "unpriced_calls": unpriced[name],
            "cost_micro_usd": cost[name],
            "would_cost_micro_usd": would[name],
        }
        for name in sorted(calls)
    }
    total, other = cost.total(), would.total()
    figures: Figures = {
        "calls": calls.total(),
        "unpriced_calls": unpriced.total(),
        "cost_micro_usd": total,
        "would_cost_micro_usd": other,
        "saved_micro_usd": total - other,
        "saved_share": (total - other) / total if total else None,
    }
    return Outcome(figures, groups, ("every call takes the same tokens", "tools' fees stay as they are"))


def other_budget(facts: Sequence[AttemptFact], unit: Unit, period: Period, limit: int) -> Outcome:
    """Return what a budget would have stopped.

    Args:
        facts: The facts, in order of their ends.
        unit: The unit; USD in micro-USD.
        period: When the counter resets: every UTC day, every month, or never.
        limit: The limit per period.
    """
    used: Counter[str] = Counter()
    stopped: dict[str, int] = defaultdict(int)
    reached: dict[str, datetime] = {}
    kept = not_spent = runs = 0
    for fact in facts:
        start, amount = _period(fact.timing.ended_at, period), _amount(fact, unit)
        runs += fact.final and not fact.judge
        if used[start] + amount > limit:
            reached.setdefault(start, fact.timing.ended_at)
            stopped[start] += fact.final and not fact.judge
            not_spent += fact.cost_micro_usd
            continue
        used[start] += amount
        kept += fact.cost_micro_usd
    first = min(reached.values(), default=None)
    figures: Figures = {
        "runs": runs,
        "runs_that_would_wait": sum(stopped.values()),
        "periods": len({_period(fact.timing.ended_at, period) for fact in facts}),
        "periods_that_reach_it": len(reached),
        "cost_micro_usd": kept + not_spent,
        "would_cost_micro_usd": kept,
        "first_reached_at": first.timestamp() if first else None,
    }
    return Outcome(
        figures,
        assumptions=(
            "an attempt counts whole, when it ended: a real budget reserves each call first, and stops sooner",
            "what waits is not asked again within the days that were looked at",
        ),
    )


def other_ttl(facts: Sequence[AttemptFact], idle_after: timedelta) -> Outcome:
    """Return how often agents would have been retired and created again with this idle time."""
    uses: dict[str, list[datetime]] = defaultdict(list)
    for fact in facts:
        if not fact.judge:
            uses[fact.who.agent].append(fact.timing.claimed_at or fact.timing.ended_at)
    restored: Counter[str] = Counter()
    for agent, times in uses.items():
        ordered = sorted(times)
        restored[agent] = sum(later - earlier > idle_after for earlier, later in pairwise(ordered))
    runs = sum(map(len, uses.values()))
    groups: Mapping[str, Figures] = {
        agent: {"runs": len(times), "restored": restored[agent]} for agent, times in sorted(uses.items())
    }
    figures: Figures = {
        "agents": len(uses),
        "runs": runs,
        "restored": restored.total(),
        "runs_that_wait_for_it": restored.total() / runs if runs else None,
    }
    return Outcome(figures, groups, ("an agent is retired the moment it is due", "pins and open sessions keep nothing"))


@dataclass(frozen=True, slots=True)
class OtherLimits:
    """Limits of a pool; None for unlimited.

    Attributes:
        concurrency: Concurrent attempts.
        tokens_per_minute: Tokens of the attempts that begin within any 60 seconds.
        requests_per_minute: Model calls of the attempts that begin within any 60 seconds.
    """

    concurrency: int | None = None
    tokens_per_minute: int | None = None
    requests_per_minute: int | None = None


@dataclass(slots=True)
class _Window:
    """What began within the last 60 seconds: when, and how much of a limit it used."""

    limit: int
    taken: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])
    total: int = 0

    def from_(self, at: float, amount: int) -> float:
        """Return when an amount fits, and record it; one above the whole limit begins alone."""
        while self.taken and (self.taken[0][0] <= at - 60 or self.total + amount > self.limit):
            began, freed = self.taken.popleft()
            self.total -= freed
            at = max(at, began + 60)
        return at

    def take(self, at: float, amount: int) -> None:
        self.taken.append((at, amount))
        self.total += amount


def other_limit(facts: Sequence[AttemptFact], limits: OtherLimits) -> Outcome:
    """Return how long runs would have waited under a pool's limits: a queue, first come, first served.

    Arrivals, amounts and durations are as recorded; with a limit on concurrency it is a G/G/c queue in Kendall's
    notation.
    """
    tried = [(fact, claimed) for fact in facts if not fact.judge and (claimed := fact.timing.claimed_at) is not None]
    jobs = sorted(
        (
            (fact.timing.accepted_at if fact.attempt <= 1 else claimed).timestamp(),
            max(0.0, (fact.timing.ended_at - claimed).total_seconds()),
            fact.spend.input_tokens + fact.spend.output_tokens,
            fact.spend.calls,
        )
        for fact, claimed in tried
    )
    recorded = sorted(fact.timing.queue_ms for fact, _ in tried if fact.attempt <= 1)
    tokens, requests = (
        None if limit is None else _Window(limit) for limit in (limits.tokens_per_minute, limits.requests_per_minute)
    )
    busy_until: list[float] = []
    waits: list[float] = []
    start, last, busy = 0.0, 0.0, 0.0
    for arrived, takes, used, calls in jobs:
        start = max(start, arrived)
        if limits.concurrency is not None and len(busy_until) >= limits.concurrency:
            start = max(start, heapq.heappop(busy_until))
        for window, amount in ((tokens, used), (requests, calls)):
            start = window.from_(start, amount) if window is not None else start
        for window, amount in ((tokens, used), (requests, calls)):
            if window is not None:
                window.take(start, amount)
        heapq.heappush(busy_until, start + takes)
        waits.append((start - arrived) * 1000)
        busy, last = busy + takes, max(last, start + takes)
    span = last - jobs[0][0] if jobs else 0.0
    waits.sort()
    slots = limits.concurrency
    figures: Figures = {
        "attempts": len(jobs),
        "waited": sum(wait > 0 for wait in waits),
        "wait_ms_mean": sum(waits) / len(waits) if waits else None,
        "wait_ms_p50": _quantile(waits, 0.5),
        "wait_ms_p95": _quantile(waits, 0.95),
        "wait_ms_most": waits[-1] if waits else None,
        "recorded_wait_ms_p95": _quantile(recorded, 0.95),
        "utilisation": min(1.0, busy / (span * slots)) if span and slots else None,
        "offered_load": busy / span if span else None,
    }
    return Outcome(
        figures,
        assumptions=(
            "one queue, first come, first served; priorities and sessions are left out",
            "an attempt takes as long as it took, and its tokens and calls when it begins",
        ),
    )


def _period(at: datetime, period: Period) -> str:
    return {"day": at.strftime("%Y-%m-%d"), "month": at.strftime("%Y-%m"), "total": ""}[period]


def _amount(fact: AttemptFact, unit: Unit) -> int:
    spend = fact.spend
    match unit:
        case "usd":
            return spend.cost_micro_usd
        case "tokens":
            return spend.input_tokens + spend.output_tokens
        case "calls":
            return spend.calls
        case "runs":
            return int(fact.final and not fact.judge)


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return the quantile by the nearest-rank method; None without values."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)] if ordered else None
