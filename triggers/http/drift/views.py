"""Request and response models of drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from pydantic import Field, StrictBool

from lifecycle.drift.drift_plan import DriftAction, DriftKind
from lifecycle.drift.plan_application import LineOutcome, PlanStep
from lifecycle.drift.plan_store import StoredPlan
from triggers.http.agents.views import ProviderVersionView
from triggers.http.base_models import View
from triggers.http.endpoint import MAX_LIMIT


class PlanLineView(View):
    """A difference: the reason, what applying it would do, and the outcome.

    `number` is its position in the plan, from 0.
    """

    number: int
    agent: str
    kind: DriftKind
    action: DriftAction
    destructive: bool
    provider: str
    why: str
    would: str
    revision: int
    versions: Sequence[ProviderVersionView]
    outcome: LineOutcome
    detail: str


class PlanView(View):
    """The differences between registry and providers.

    `counts` are the lines by kind, `total` all of them; `unchanged` counts agents without differences; `unseen` are
    providers that could not be read, with the error code. `applied` counts how often the plan, or some of its lines,
    was applied; `outcome` of each line is the result.
    """

    id: str
    at: datetime
    digest: str
    counts: Mapping[str, int]
    total: int
    unchanged: int
    unseen: Mapping[str, str]
    applied: int
    items: Sequence[PlanLineView]
    next: str | None

    @classmethod
    def from_plan(cls, plan: StoredPlan, steps: Sequence[PlanStep], after: str | None) -> PlanView:
        """Return the view of a plan and some of its lines."""
        items = [PlanLineView.of(step, step.line) for step in steps]
        return cls.of(plan, plan.summary, total=plan.lines, items=items, next=after)


class PlanApplication(View):
    """A request to apply a plan.

    `lines` are the numbers of the lines to apply, default all; `destructive` includes lines that delete something.
    """

    plan_id: str = Field(min_length=1, max_length=64)
    lines: Sequence[Annotated[int, Field(ge=0)]] | None = Field(default=None, min_length=1, max_length=MAX_LIMIT)
    destructive: StrictBool = False
