"""Response models of reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from llmops.reports.periods import Kind
from triggers.http.base_models import Page, SpendView, View


class PeriodView(View):
    """A day, an ISO week or a month: its name, and its first and last UTC day."""

    key: str
    kind: Kind
    first: date
    last: date


class SummaryView(View):
    """A period and its spend; `complete` once it is over."""

    period: PeriodView
    complete: bool
    total: SpendView


class ForecastView(View):
    """Expected total of the month in micro-USD, with the range that contains it with a probability of 0.8."""

    expected: int
    low: int
    high: int
    from_days: int


class MoverView(View):
    """An agent whose cost changed (micro-USD)."""

    name: str
    before: int
    now: int
    change: int


class AnomalyView(View):
    """An anomalous day of an agent, compared with the weeks before (micro-USD)."""

    agent: str
    day: date
    cost_micro_usd: int
    usual_micro_usd: int
    score: float


class BudgetPositionView(View):
    """The usage of a budget, in its unit's smallest part."""

    scope: str
    unit: str
    period: str
    limit: int
    spent: int
    reserved: int
    resets_at: datetime | None


class ReportView(View):
    """The spend of a period, compared with the previous one, by day, agent, model and user.

    `budgets` are the first 50, the workspace's own before others; `GET usage` has all.
    """

    period: PeriodView
    complete: bool
    total: SpendView
    previous: SpendView
    by_day: Mapping[date, SpendView]
    by_agent: Mapping[str, SpendView]
    by_model: Mapping[str, SpendView]
    by_user: Mapping[str, SpendView]
    forecast: ForecastView | None
    movers: Sequence[MoverView]
    anomalies: Sequence[AnomalyView]
    budgets: Sequence[BudgetPositionView]
    budgets_left_out: int
    updated_at: datetime


class ReportPage(Page[SummaryView]):
    """Periods with spending, newest first."""
