"""Response models of evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from llmops.evaluation.combined_score import Score
from llmops.evaluation.score_distribution import Verdict
from triggers.http.base_models import Page, View


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
    """Mean score of one part, 0-100."""

    part: str
    mean: float
    count: int


class DayMeansView(View):
    """The mean scores of a version on a UTC day, `overall` first."""

    day: date
    parts: Sequence[MeanView]


class VersionScoresView(View):
    """The mean scores of a version: in total, and by day."""

    version: str
    current: bool
    parts: Sequence[MeanView]
    days: Sequence[DayMeansView]


class ScoresView(View):
    """The mean scores of an agent's versions, the latest first."""

    agent: str
    versions: Sequence[VersionScoresView]


class ChangeView(View):
    """The change of one part of the score between two versions, and whether it is significant."""

    part: str
    base: float | None
    new: float | None
    difference: float | None
    p_value: float | None
    base_count: int
    new_count: int
    verdict: Verdict


class ComparisonView(View):
    """The comparison of two versions of an agent."""

    agent: str
    base: str
    new: str
    verdict: Verdict
    changes: Sequence[ChangeView]


class EvaluationPage(Page[EvaluationView]):
    """Scored answers, newest first."""
