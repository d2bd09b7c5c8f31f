"""Retiring agents nobody uses: which, why, and which not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kernel.clock import Clock, hour_bucket
from kernel.ids import new_id
from lifecycle.registry.catalog import Agent, Catalog
from lifecycle.registry.due import DueIndex
from lifecycle.registry.operations import Retire
from lifecycle.registry.signals import AgentSignals
from lifecycle.sessions.directory import Directory


@dataclass(frozen=True, slots=True)
class PrunePolicy:
    """When an agent is idle.

    Attributes:
        idle_after: Time without use, unless the agent's spec says otherwise.
        keep_new_for: An agent younger than this is kept, used or not.
        use_lag: How long a use may go unnoticed: told late (`lifecycle.loader.uses`), or made with what a worker has
            cached.
    """

    idle_after: timedelta
    keep_new_for: timedelta
    use_lag: timedelta


@dataclass(frozen=True, slots=True)
class Verdict:
    """What prune makes of one candidate: whether it is retired, and why (not)."""

    workspace: str
    agent: str
    retire: bool
    reason: str
    idle_since: datetime | None
    unused_since: datetime


def judge(agent: Agent, now: datetime, policy: PrunePolicy, *, has_open_session: bool) -> Verdict:
    """Return whether the agent is retired."""
    record, spec = agent.record, agent.declaration.spec
    idle_after = policy.idle_after if spec.idle_after_s is None else timedelta(seconds=spec.idle_after_s)
    cutoff = now - idle_after - policy.use_lag
    since = record.idle_since if record else None

    def verdict(reason: str, *, retire: bool = False) -> Verdict:
        return Verdict(agent.workspace, agent.name, retire, reason, since, cutoff)

    if record is None or since is None:
        return verdict(f"is {agent.state.value}: there is nothing to retire")
    if agent.declaration.deleted and not record.retired:
        return verdict("was deleted, but is still at the provider", retire=True)
    if record.retired:
        return verdict("is retired, but a version was left at the provider", retire=True)
    if spec.pinned:
        return verdict("is pinned")
    if agent.declaration.created_at > now - policy.keep_new_for:
        return verdict("was declared only recently")
    if since > cutoff:
        return verdict("was used recently")
    if has_open_session:
        return verdict("has an open session")
    return verdict(f"was not used since {since:%Y-%m-%d %H:%M:%S}Z", retire=True)


class Prune:
    """Finds and retires idle agents. It reads in proportion to the agents that are due, not to all."""

    def __init__(
        self, catalog: Catalog, directory: Directory, due: DueIndex, policy: PrunePolicy, clock: Clock
    ) -> None:
        self._catalog = catalog
        self._directory = directory
        self._due = due
        self._policy = policy
        self._clock = clock

    async def plan(self, workspace: str | None = None) -> Sequence[Verdict]:
        """Return the verdict on every agent that is due, of one workspace or of all, changing nothing."""
        now = self._clock()
        verdicts: list[Verdict] = []
        async for entry in self._due.until(now):
            if workspace not in (None, entry.workspace):
                continue
            agent = await self._catalog.find(entry.workspace, entry.name)
            if agent is None or agent.record is None or agent.record.idle_since is None:
                if entry.hour < hour_bucket(now):  # one of this hour may be ahead of the record that it is for
                    await self._due.drop(entry.workspace, entry.name, entry.hour)
                continue
            due = agent.record.prune_due(self._policy.idle_after)
            if due is not None and due > now:
                continue  # entered earlier in this hour than it is due, or left over from before its latest use
            has_open = await self._directory.has_open_session(entry.workspace, entry.name)
            verdicts.append(judge(agent, now, self._policy, has_open_session=has_open))
        return verdicts

    async def run(self, signals: AgentSignals, workspace: str | None = None) -> Sequence[Verdict]:
        """Retire what the plan says, and return the plan. An agent that is used meanwhile is not retired after all."""
        verdicts = await self.plan(workspace)
        for verdict in verdicts:
            if verdict.retire:
                await signals.send(verdict.workspace, verdict.agent, Retire(new_id(), verdict.unused_since))
        return verdicts
