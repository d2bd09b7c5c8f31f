"""The report of a period, computed from the sums of its days: totals, comparison, forecast and anomalies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from llmops.budgets.usage import BudgetUsage
from llmops.reports.changes import Anomaly, SpendChange, anomalies, movers
from llmops.reports.forecast import Forecast, forecast
from llmops.reports.periods import Period, period_of
from llmops.spend.groups import Group, add_up
from llmops.spend.usage import Spend

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
        budgets: Usage of the workspace's budgets.
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


def report_of(workspace: str, period: Period, days: Days, now: datetime, budgets: Sequence[BudgetUsage] = ()) -> Report:
    """Return the report of a period.

    Args:
        workspace: The workspace.
        period: The period.
        days: Spend by day, for HISTORY_DAYS before the period's end; days without spending are left out.
        now: The time, which determines whether the period is over.
        budgets: Usage of the workspace's budgets.
    """
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
        budgets,
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
