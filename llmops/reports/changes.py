"""Changes in spending: agents whose cost changed most, and anomalous days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

MOST_MOVERS = 5
LOOK_BACK_DAYS = 28
FEWEST_DAYS = 7
OUTSTANDING = 3.5
"""Modified z-score of an anomalous day (Iglewicz, Hoaglin, "How to Detect and Handle Outliers", 1993)."""
LEAST_MICRO_USD = 100_000
"""Least difference of an anomalous day from the usual, in micro-USD (ten cents)."""


@dataclass(frozen=True, slots=True)
class SpendChange:
    """An agent's spending before and now, in micro-USD."""

    name: str
    before: int
    now: int

    @property
    def change(self) -> int:
        """The difference, in micro-USD."""
        return self.now - self.before


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A day on which an agent cost far more, or far less, than usual.

    Attributes:
        agent: The agent.
        day: The day.
        cost_micro_usd: Cost of the day.
        usual_micro_usd: Median of the days before.
        score: Modified z-score; negative for a day that cost less.
    """

    agent: str
    day: date
    cost_micro_usd: int
    usual_micro_usd: int
    score: float


def movers(before: Mapping[str, int], now: Mapping[str, int]) -> Sequence[SpendChange]:
    """Return those whose cost (micro-USD) changed, largest change first."""
    changed = [SpendChange(name, before.get(name, 0), now.get(name, 0)) for name in before.keys() | now.keys()]
    ordered = sorted(changed, key=lambda mover: (-abs(mover.change), mover.name))
    return [mover for mover in ordered if mover.change][:MOST_MOVERS]


def anomalies(by_day: Mapping[date, Mapping[str, int]], days: Sequence[date]) -> Sequence[Anomaly]:
    """Return the anomalous ones among these days, compared with up to four weeks before; highest score first.

    Args:
        by_day: Cost in micro-USD by day and agent; missing ones are 0.
        days: The days to examine; only complete ones, because half a day always costs less.
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
    # When more than half of the days are equal, the spread is 0 and any difference would be infinite: the spread is
    # therefore at least a tenth of the usual amount.
    score = 0.6745 * (cost - usual) / max(spread, usual / 10, LEAST_MICRO_USD / 10)
    return Anomaly(agent, day, cost, round(usual), round(score, 1)) if abs(score) >= OUTSTANDING else None
