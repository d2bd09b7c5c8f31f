"""What the API answers of agents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from lifecycle.registry.agents import AgentState
from lifecycle.registry.prune import Action
from lifecycle.specs.spec import AgentSpec
from triggers.views.base import FailureView, View
from triggers.views.versions import ProviderHealthView, ProviderVersionView, RetirementView

if TYPE_CHECKING:
    from lifecycle.registry.agents import AgentRecord
    from lifecycle.registry.catalog import Agent


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
    health: ProviderHealthView | None
    retirement: RetirementView | None
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
            health=ProviderHealthView.of(record.health) if record and record.health else None,
            retirement=_retirement(record) if record and agent.state is AgentState.IDLE else None,
            created_at=declaration.created_at,
            updated_at=declaration.updated_at,
            last_used=record.last_used if record else None,
            uses=record.uses if record else 0,
        )


def _retirement(record: AgentRecord) -> RetirementView:
    return RetirementView(put_away=record.put_away, delete_after=record.delete_after, versions=len(record.held))


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


class VerdictView(View):
    """What prune makes of one candidate; `retire` says whether the agent as a whole goes, now or after its grace."""

    agent: str
    action: Action
    retire: bool
    reason: str
    idle_since: datetime | None
    versions: Sequence[ProviderVersionView]


class PruneView(View):
    """What prune found, and whether it acted on it."""

    dry_run: bool
    items: Sequence[VerdictView]
