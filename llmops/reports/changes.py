"""What changed: who spends more or less than before, and days that stand out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

MOST_MOVERS = 5
LOOK_BACK_DAYS = 28
FEWEST_DAYS = 7
OUTSTANDING = 3.5
"""Modified z-score from which on a day stands out (Iglewicz, Hoaglin, "How to Detect and Handle Outliers", 1993)."""
LEAST_MICRO_USD = 100_000
"""A day that cost less than ten cents more than usual is no news."""


@dataclass(frozen=True, slots=True)
class SpendChange:
    """Somebody whose spending changed: what it was before and is now, in micro-USD."""

    name: str
    before: int
    now: int

    @property
    def change(self) -> int:
        """By how much."""
        return self.now - self.before


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A day on which an agent cost far more, or far less, than it usually does.

    Attributes:
        agent: The agent.
        day: The day.
        cost_micro_usd: What the day came to.
        usual_micro_usd: The median of the days before.
        score: The modified z-score; negative for a day that cost less.
    """

    agent: str
    day: date
    cost_micro_usd: int
    usual_micro_usd: int
    score: float


def movers(before: Mapping[str, int], now: Mapping[str, int]) -> Sequence[SpendChange]:
    """Return those whose cost (micro-USD) changed most, the largest change first; who did not change is none."""
    changed = [SpendChange(name, before.get(name, 0), now.get(name, 0)) for name in before.keys() | now.keys()]
    ordered = sorted(changed, key=lambda mover: (-abs(mover.change), mover.name))
    return [mover for mover in ordered if mover.change][:MOST_MOVERS]


def anomalies(by_day: Mapping[date, Mapping[str, int]], days: Sequence[date]) -> Sequence[Anomaly]:
    """Return the agents' days, among these, that stand out from up to four weeks before; the most striking first.

    Args:
        by_day: Cost in micro-USD by day and agent; what is missing is nothing.
        days: The days to look at; whole ones, for half a day always costs less.
    """
    agents = {agent for costs in by_day.values() for agent in costs}
    found = [one for day in days for agent in agents if (one := _judged(by_day, day, agent)) is not None]
    return sorted(found, key=lambda one: (-abs(one.score), one.agent, one.day))


def _judged(by_day: Mapping[date, Mapping[str, int]], day: date, agent: str) -> Anomaly | None:
    earlier = [before for before, costs in by_day.items() if before < day and agent in costs]
    if not earlier:
        return None
    first = max(min(earlier), day - timedelta(days=LOOK_BACK_DAYS))
    before = [first + timedelta(days=offset) for offset in range((day - first).days)]
    if len(before) < FEWEST_DAYS:
        return None
    costs = [by_day.get(one, {}).get(agent, 0) for one in before]
    cost, usual = by_day.get(day, {}).get(agent, 0), median(costs)
    if abs(cost - usual) < LEAST_MICRO_USD:
        return None
    spread = median(abs(one - usual) for one in costs)
    # With more than half of the days alike the spread is 0, and any difference would be infinitely striking: a tenth
    # of the usual amount is the least that is taken for spread.
    score = 0.6745 * (cost - usual) / max(spread, usual / 10, LEAST_MICRO_USD / 10)
    return Anomaly(agent, day, cost, round(usual), round(score, 1)) if abs(score) >= OUTSTANDING else None
