"""The report of a period, computed from the sums of its days: totals, comparison, forecast, anomalies and changes.

Changes are the agents whose cost changed most, and the days that were anomalous.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from statistics import median

from kernel.lazy_dataclass import dataclass
from llmops.budgets.budget_usage import BudgetUsage, ForemostUsage
from llmops.reports.forecast import Forecast, forecast
from llmops.reports.periods import Period, period_of
from llmops.spend.costs import Group, add_up
from llmops.spend.usage import Spend

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


MOST_NAMES = 100
"""Most names in a breakdown; the rest is the difference to the total."""

HISTORY_DAYS = 62
"""Days before a period's end that a report uses: a month and the one before."""


@dataclass(frozen=True, slots=True)
class Day:
    """A workspace's spend on a day: in total and by name, the most expensive first.

    Attributes:
        total: The total.
        by_agent: By agent.
        by_model: By model.
        by_user: By user; the empty name stands for calls without a user.
        updated_at: When it last changed, aware UTC.
    """

    total: Spend
    by_agent: Mapping[str, Spend]
    by_model: Mapping[str, Spend]
    by_user: Mapping[str, Spend]
    updated_at: datetime


Days = Mapping[date, Day]


@dataclass(frozen=True, slots=True)
class Report:
    """What a workspace spent in a period.

    Attributes:
        workspace: The workspace.
        period: The day, week or month.
        complete: Whether the period was over when the report was made; late facts are still added.
        total: What was spent.
        previous: Spend of the previous period; while this one is not over, of as many of its days.
        by_day: The same by day, in order; days without spending are left out.
        by_agent: The same by agent, the dearest first, at most MOST_NAMES.
        by_model: By model, likewise.
        by_user: By user, likewise; the empty name stands for calls without a user.
        forecast: Forecast of the month; None for other periods, or with too few days.
        movers: Agents whose cost changed most since the previous period.
        anomalies: Agents' anomalous days.
        budgets: Usage of the workspace's budgets, its own first.
        budgets_left_out: How many other budgets it has.
        updated_at: When any of its days last changed, aware UTC.
    """

    workspace: str
    period: Period
    complete: bool
    total: Spend
    previous: Spend
    by_day: Mapping[date, Spend]
    by_agent: Mapping[str, Spend]
    by_model: Mapping[str, Spend]
    by_user: Mapping[str, Spend]
    forecast: Forecast | None
    movers: Sequence[SpendChange]
    anomalies: Sequence[Anomaly]
    budgets: Sequence[BudgetUsage]
    budgets_left_out: int
    updated_at: datetime


def day_of(sums: Mapping[Group, Spend], most_names: int, now: datetime) -> Day:
    """Return a day's sums by name, with at most so many names in each breakdown."""

    def by(name: Callable[[Group], str]) -> Mapping[str, Spend]:
        return _largest(add_up((name(group), spend) for group, spend in sums.items()), most_names)

    return Day(
        sum(sums.values(), Spend()),
        by(lambda group: group.agent),
        by(lambda group: group.model),
        by(lambda group: group.user_id),
        now,
    )


def report_of(workspace: str, period: Period, days: Days, now: datetime, usage: ForemostUsage | None = None) -> Report:
    """Return the report of a period.

    Args:
        workspace: The workspace.
        period: The period.
        days: Spend by day, for HISTORY_DAYS before the period's end; days without spending are left out.
        now: The time, which determines whether the period is over.
        usage: Usage of the workspace's budgets; None to leave it out.
    """
    usage = usage or ForemostUsage()
    today = now.date()
    complete = period.last < today
    inside = {day: days[day] for day in sorted(days) if day in period}
    before = period.previous
    elapsed = (min(today, period.last) - period.first).days + 1
    compared = [
        spent for day, spent in days.items() if day in before and (complete or (day - before.first).days < elapsed)
    ]
    by_agent = _added(spent.by_agent for spent in inside.values())
    whole = [period.first + timedelta(days=offset) for offset in range(elapsed)]
    return Report(
        workspace,
        period,
        complete,
        sum((spent.total for spent in inside.values()), Spend()),
        sum((spent.total for spent in compared), Spend()),
        {day: spent.total for day, spent in inside.items()},
        _largest(by_agent, MOST_NAMES),
        _largest(_added(spent.by_model for spent in inside.values()), MOST_NAMES),
        _largest(_added(spent.by_user for spent in inside.values()), MOST_NAMES),
        _forecast(period, days, today),
        movers(_costs(_added(spent.by_agent for spent in compared)), _costs(by_agent)),
        anomalies({day: _costs(spent.by_agent) for day, spent in days.items()}, [day for day in whole if day < today]),
        usage.budgets,
        usage.left_out,
        max((spent.updated_at for spent in inside.values()), default=now),
    )


def _added(sums: Iterable[Mapping[str, Spend]]) -> Mapping[str, Spend]:
    return add_up(item for one in sums for item in one.items())


def _largest(sums: Mapping[str, Spend], most: int) -> Mapping[str, Spend]:
    ordered = sorted(sums.items(), key=lambda item: (-item[1].cost_micro_usd, -item[1].calls, item[0]))
    return dict(ordered[:most])


def _costs(sums: Mapping[str, Spend]) -> Mapping[str, int]:
    return {name: spend.cost_micro_usd for name, spend in sums.items()}


def _forecast(period: Period, days: Days, today: date) -> Forecast | None:
    if period != period_of("month", today):
        return None
    return forecast({day: spent.total.cost_micro_usd for day, spent in days.items()}, today)
