"""What the API answers and takes of drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from pydantic import Field

from lifecycle.drift.plan import DriftAction, DriftKind
from lifecycle.drift.plan_service import LineOutcome, PlanStep
from lifecycle.drift.store import StoredPlan
from triggers.http.agents.views import ProviderVersionView
from triggers.http.endpoint import MAX_LIMIT
from triggers.http.views import View


class PlanLineView(View):
    """A difference: why it is one, what applying would do, and what has become of it.

    `number` is its place in the plan, from 0 on.
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
    """How the registry and the providers differ.

    `counts` are the lines by kind, `total` all of them; `unchanged` counts the agents that are as they should be;
    `unseen` are providers that could not be looked at, with the code of the reason. `applied` counts how often the
    plan, or some of its lines, was applied; each line's `outcome` says what has become of it.
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
    """Which plan to apply.

    `lines` are the numbers of the lines to apply, all when it is left out; `destructive` asks for those that delete
    something, too.
    """

    plan_id: str = Field(min_length=1, max_length=64)
    lines: Sequence[Annotated[int, Field(ge=0)]] | None = Field(default=None, min_length=1, max_length=MAX_LIMIT)
    destructive: bool = False
