"""Request and response models of agents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self

from pydantic import Field, model_validator

from lifecycle.registry.audit import AuditStep
from lifecycle.registry.catalog import Agent
from lifecycle.registry.prune import Action
from lifecycle.registry.record import AgentRecord, AgentState
from lifecycle.specs.spec import AgentSpec
from triggers.http.base_models import FailureView, Page, View


class ProviderVersionView(View):
    """A version of an agent at its provider."""

    name: str
    version: str
    id: str
    created_at: datetime


class AgentVersionView(ProviderVersionView):
    """A version of an agent; `current` is the one that runs use unless their session is pinned to another."""

    provider: str
    fingerprint: str
    current: bool
    pinned_sessions: int
    kept_because: str


class VersionSpecView(View):
    """The spec that a version was made from; where several have the label, the newest."""

    version: str
    spec: AgentSpec


class ProviderHealthView(View):
    """The provider's state of an agent, as last observed.

    `verified_at` is when its version was last seen unchanged; `status` is `ok`, `throttled`, `unavailable` or
    `failing`, and `trouble` the code of the provider's last failure, which has lasted since `trouble_since`.
    """

    status: str
    looked_at: datetime
    verified_at: datetime | None
    trouble: str
    trouble_since: datetime | None


class RetirementView(View):
    """The versions of a retired agent: disabled and archived now, deleted by prune after the grace period."""

    archived: bool
    delete_after: datetime | None
    versions: int


class RollBack(View):
    """The version to roll back (or forward) to, or the revision of the declaration; one of the two."""

    version: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    revision: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.version is None) == (self.revision is None):
            msg = "give either version or revision"
            raise ValueError(msg)
        return self


class StepView(View):
    """A step in an agent's audit trail: what, when, which version, requested by whom (empty for the app), and why."""

    at: datetime
    step: AuditStep
    version: str
    by: str
    why: str


class AgentView(View):
    """An agent: its declaration, and its state at the provider."""

    name: str
    workspace: str
    state: AgentState
    spec: AgentSpec
    revision: int
    current: bool
    version: ProviderVersionView | None
    superseded_versions: int
    failure: FailureView | None
    health: ProviderHealthView | None
    retirement: RetirementView | None
    created_at: datetime
    updated_at: datetime
    last_used: datetime | None
    uses: int

    @classmethod
    def from_agent(cls, agent: Agent) -> AgentView:
        """Return the view of an agent."""
        record = agent.record
        return cls.of(
            agent,
            agent.declaration,
            record,
            current=agent.ready,
            version=record.version if record else None,
            superseded_versions=len(record.superseded) if record else 0,
            failure=record.failure if record else None,
            health=record.health if record else None,
            retirement=_retirement(record) if record and agent.state is AgentState.IDLE else None,
            last_used=record.last_used if record else None,
            uses=record.uses if record else 0,
        )


def _retirement(record: AgentRecord) -> RetirementView:
    return RetirementView(archived=record.archived, delete_after=record.delete_after, versions=len(record.held))


class AgentStatsView(View):
    """Usage statistics of an agent: its runs, and the versions made and found at the provider.

    `reused` counts the runs that found an existing version: all but the first of each version made.
    """

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
        return cls(
            name=agent.name,
            state=agent.state,
            uses=record.uses if record else 0,
            last_used=record.last_used if record else None,
            versions_created=record.created if record else 0,
            versions_adopted=record.adopted if record else 0,
            reused=record.reused if record else 0,
        )


class VerdictView(View):
    """Prune's decision on one candidate; `retire` means that the whole agent goes, now or after its grace period."""

    agent: str
    action: Action
    retire: bool
    reason: str
    idle_since: datetime | None
    versions: Sequence[ProviderVersionView]


class PruneView(View):
    """What prune decided, and whether it was carried out."""

    dry_run: bool
    items: Sequence[VerdictView]


class AgentPage(Page[AgentView]):
    """Agents by name."""


class VersionPage(Page[AgentVersionView]):
    """An agent's versions, newest first."""


class TrailPage(Page[StepView]):
    """The audit trail of an agent, newest first."""
