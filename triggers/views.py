"""What the API answers: the models that openapi.json describes, made from the domain's values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from lifecycle.agents import AgentState
from lifecycle.catalog import Agent
from lifecycle.runs import RunError, RunState, Stage
from lifecycle.sessions import SessionState
from lifecycle.specs import AgentSpec
from llmops.costs import Costs
from llmops.evaluation import Score

T = TypeVar("T")


class View(BaseModel):
    """What the API answers or takes; its validator is built on first use."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True, defer_build=True)

    @classmethod
    def of(cls, source: object) -> Self:
        """Return the view of a domain value: its attributes of the same names."""
        return cls.model_validate(source)


class Page(View, Generic[T]):
    """Some items, and the `next` to ask for more with; null when these were the last."""

    items: Sequence[T]
    next: str | None


class SpendView(View):
    """Model calls, their tokens and cost. `cost_usd` is the sum of the priced calls, exact to the micro-dollar."""

    calls: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost_micro_usd: int
    unpriced_calls: int


class ProviderVersionView(View):
    """An agent's version at its provider."""

    name: str
    version: str
    id: str
    created_at: datetime


class AgentVersionView(ProviderVersionView):
    """A version of an agent; `current` is the one that runs use."""

    current: bool


class FailureView(View):
    """Why something failed: a stable code and a sentence."""

    code: str
    detail: str


class AgentView(View):
    """An agent: what was declared, and what became of it."""

    name: str
    workspace: str
    state: AgentState
    spec: AgentSpec
    revision: int
    current: bool
    version: ProviderVersionView | None
    superseded_versions: int
    failure: FailureView | None
    created_at: datetime
    updated_at: datetime
    last_used: datetime | None
    uses: int

    @classmethod
    def from_agent(cls, agent: Agent) -> AgentView:
        """Return the view of an agent."""
        record, declaration = agent.record, agent.declaration
        version = record.version if record else None
        failure = record.failure if record else None
        return cls(
            name=agent.name,
            workspace=agent.workspace,
            state=agent.state,
            spec=declaration.spec,
            revision=declaration.revision,
            current=agent.ready,
            version=ProviderVersionView.of(version) if version else None,
            superseded_versions=len(record.superseded) if record else 0,
            failure=FailureView.of(failure) if failure else None,
            created_at=declaration.created_at,
            updated_at=declaration.updated_at,
            last_used=record.last_used if record else None,
            uses=record.uses if record else 0,
        )


class AgentStatsView(View):
    """How an agent is used: runs counted by the registry, versions made and found, and how often it was reused."""

    name: str
    state: AgentState
    uses: int
    last_used: datetime | None
    versions_created: int
    versions_adopted: int
    reused: int

    @classmethod
    def from_agent(cls, agent: Agent) -> AgentStatsView:
        """Return the statistics of an agent."""
        record = agent.record
        uses = record.uses if record else 0
        created = record.created if record else 0
        return cls(
            name=agent.name,
            state=agent.state,
            uses=uses,
            last_used=record.last_used if record else None,
            versions_created=created,
            versions_adopted=record.adopted if record else 0,
            reused=max(0, uses - created),
        )


class RunView(View):
    """A run: what was asked, how far it is, and its answer once there is one."""

    id: str
    agent: str
    session_id: str
    user_id: str | None
    query: str
    state: RunState
    stage: Stage | None
    attempt: int
    redriven: int
    cancel_requested: bool
    answer: str | None
    score: Score | None
    model: str | None
    version: str | None
    error: RunError | None
    spend: SpendView
    wasted: SpendView
    metadata: Mapping[str, str]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class SessionView(View):
    """A conversation."""

    id: str
    agent: str
    user_id: str | None
    state: SessionState
    end_reason: str | None
    runs: int
    pending: int
    turns: int
    spend: SpendView
    created_at: datetime
    last_activity: datetime
    ended_at: datetime | None


class NewSession(View):
    """Which agent a session is with, whose it is, and its id if the caller chooses it."""

    agent: str
    user_id: str | None = None
    session_id: str | None = None


class TurnView(View):
    """One message of a conversation."""

    role: str
    text: str
    run_id: str
    at: datetime


class VerdictView(View):
    """What prune makes of one agent that is due."""

    agent: str
    retire: bool
    reason: str
    idle_since: datetime | None


class PruneView(View):
    """What prune found, and whether it acted on it."""

    dry_run: bool
    items: Sequence[VerdictView]


class CostGroupView(View):
    """What one group spent."""

    name: str
    spend: SpendView


class CostsView(View):
    """What was spent over some days."""

    first: date
    last: date
    group_by: str
    total: SpendView
    groups: Sequence[CostGroupView]

    @classmethod
    def from_costs(cls, costs: Costs) -> CostsView:
        """Return the view of costs."""
        groups = [CostGroupView(name=name, spend=SpendView.of(spend)) for name, spend in costs.groups]
        return cls(
            first=costs.first,
            last=costs.last,
            group_by=costs.group_by,
            total=SpendView.of(costs.total),
            groups=groups,
        )


class ReportView(View):
    """What was spent on a UTC day, by agent and by model."""

    day: date
    total: SpendView
    by_agent: Mapping[str, SpendView]
    by_model: Mapping[str, SpendView]
    updated_at: datetime


class DeadLetterView(View):
    """A message that the queue gave up on."""

    id: int
    code: str
    detail: str
    redrivable: bool
    run_id: str | None
    session_id: str | None
    agent: str | None
    deliveries: int
    enqueued_at: datetime


class RedrivenView(View):
    """A run that was put back on the queue."""

    run_id: str
    session_id: str
    agent: str


class HealthView(View):
    """Whether the app and what it stands on can be reached."""

    status: str
    components: Mapping[str, str]


class ProblemView(View):
    """An error (RFC 9457); `code` is stable, `errors` says which fields are wrong."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: Sequence[Mapping[str, Any]] = ()
