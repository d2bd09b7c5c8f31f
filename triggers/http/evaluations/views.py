"""What the API answers of evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from llmops.evaluation.regression import Verdict
from llmops.evaluation.scoring import Score
from triggers.http.views import Page, View


class EvaluationView(View):
    """A scored answer."""

    agent: str
    version: str
    model: str
    run_id: str
    session_id: str
    attempt: int
    at: datetime
    score: Score
    judged: Sequence[str]


class MeanView(View):
    """What answers were scored on average in one part, 0-100."""

    part: str
    mean: float
    count: int


class DayMeansView(View):
    """What a version's answers of a UTC day were scored, `overall` first."""

    day: date
    parts: Sequence[MeanView]


class VersionScoresView(View):
    """What a version's answers were scored: in all, and day by day."""

    version: str
    current: bool
    parts: Sequence[MeanView]
    days: Sequence[DayMeansView]


class ScoresView(View):
    """What an agent's versions were scored, the latest one first."""

    agent: str
    versions: Sequence[VersionScoresView]


class ChangeView(View):
    """How one part of the score differs between two versions, and whether that is more than chance."""

    part: str
    base: float | None
    new: float | None
    difference: float | None
    p_value: float | None
    base_count: int
    new_count: int
    verdict: Verdict


class ComparisonView(View):
    """How a version of an agent answers compared with another."""

    agent: str
    base: str
    new: str
    verdict: Verdict
    changes: Sequence[ChangeView]


class EvaluationPage(Page[EvaluationView]):
    """Scored answers, newest first."""
