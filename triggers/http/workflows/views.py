"""Request and response models of workflows and their runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Self

from lifecycle.conversations.run import RunState
from lifecycle.conversations.session_priority import Priority
from lifecycle.specs.workflow import WorkflowSpec
from lifecycle.workflows.workflow_run import StepState, WorkflowState
from triggers.http.base_models import Page, SpendView, View

if TYPE_CHECKING:
    from lifecycle.configuration.store import ConfigurationItem
    from lifecycle.workflows.workflow_run import StepRun, Try, WorkflowRun


class WorkflowView(View):
    """A workflow and its version; a version without content is a deletion."""

    name: str
    version: int
    updated_at: datetime | None
    content: WorkflowSpec | None

    @classmethod
    def from_item(cls, item: ConfigurationItem) -> Self:
        """Return the view of a stored workflow."""
        return cls.of(item, name=item.ref.name)


class WorkflowPage(Page[WorkflowView]):
    """Workflows by name, or the versions of one, newest first."""


class TryView(View):
    """One run of a step. `run_state` is the run's current state; null in lists, and once it is erased."""

    agent: str
    run_id: str
    state: StepState
    run_state: RunState | None
    code: str
    cost_micro_usd: int
    score: int | None
    started_at: datetime
    ended_at: datetime | None


class StepView(View):
    """A step; agent and run are those of its last run, costs those of all its runs."""

    name: str
    state: StepState
    code: str
    agent: str | None
    run_id: str | None
    cost_micro_usd: int
    score: int | None
    started_at: datetime | None
    ended_at: datetime | None
    tries: Sequence[TryView]


class WorkflowRunView(View):
    """A run of a workflow. Its cost is the sum over its steps, its score the mean of its answers' scores."""

    id: str
    workflow: str
    version: int
    state: WorkflowState
    code: str
    failed_step: str
    cancel_requested: bool
    input: str
    user_id: str | None
    metadata: Mapping[str, str]
    priority: Priority
    answer: str | None
    score: int | None
    spend: SpendView
    created_at: datetime
    finished_at: datetime | None
    steps: Sequence[StepView]

    @classmethod
    def from_run(
        cls, run: WorkflowRun, answer: str | None = None, states: Mapping[str, RunState] | None = None
    ) -> Self:
        """Return the view of a workflow run."""
        steps = [_step(step, states or {}) for step in run.steps]
        return cls.of(run, run.request, answer=answer, spend=SpendView.of(run.spend), steps=steps)


class WorkflowRunPage(Page[WorkflowRunView]):
    """Runs of a workflow, newest first."""


def _step(step: StepRun, states: Mapping[str, RunState]) -> StepView:
    last = step.tries[-1] if step.tries else None
    return StepView.of(
        step,
        agent=last and last.agent,
        run_id=last and last.run_id,
        cost_micro_usd=step.spend.cost_micro_usd,
        started_at=step.tries[0].started_at if step.tries else None,
        tries=[_try(one, states) for one in step.tries],
    )


def _try(one: Try, states: Mapping[str, RunState]) -> TryView:
    return TryView.of(one, run_state=states.get(one.run_id), cost_micro_usd=one.spend.cost_micro_usd)
