"""What the API answers of reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from llmops.reports.periods import Kind
from triggers.http.views import Page, SpendView, View


class PeriodView(View):
    """A day, an ISO week or a month: its name, and its first and last UTC day."""

    key: str
    kind: Kind
    first: date
    last: date


class SummaryView(View):
    """A period and what was spent in it; `complete` once it is over."""

    period: PeriodView
    complete: bool
    total: SpendView


class ForecastView(View):
    """What the month is expected to come to (micro-USD), and between what it will be four times in five."""

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
    """An agent's day that stands out from the weeks before (micro-USD)."""

    agent: str
    day: date
    cost_micro_usd: int
    usual_micro_usd: int
    score: float


class BudgetPositionView(View):
    """Where a budget stands, in its unit's smallest part."""

    scope: str
    unit: str
    period: str
    limit: int
    spent: int
    reserved: int
    resets_at: datetime | None


class ReportView(View):
    """What was spent in a period, compared with the one before, by day, agent, model and user."""

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
    updated_at: datetime


class ReportPage(Page[SummaryView]):
    """Periods in which anything was spent, newest first."""
