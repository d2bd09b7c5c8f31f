"""Prune: retires idle agents and deletes versions that are not needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from kernel.codec import if_readable
from kernel.due_index import outlasted
from kernel.ids import new_id
from kernel.lazy_dataclass import dataclass
from lifecycle.registry.agent_checks_due import RetentionPolicy, surplus_due
from lifecycle.registry.providers import ProviderVersion
from lifecycle.registry.record import AgentState, retained

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.due_index import DueIndex, Entry
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.registry.catalog import Agent, Catalog


@dataclass(frozen=True, slots=True)
class PrunePolicy:
    """When agents and versions are pruned.

    Attributes:
        look_after: After which times agents and versions are due.
        keep_new_for: An agent younger than this is kept, even if unused.
        use_lag: How late a use may be noticed: reported late (`lifecycle.loader.use_reports`), or made with a worker's
            cached agent.
        grace: How long a retired agent's versions stay at the provider.
    """

    look_after: RetentionPolicy
    keep_new_for: timedelta
    use_lag: timedelta
    grace: timedelta


PinnedSessions = Callable[[str, str], Awaitable[Mapping[str, int]]]
"""Returns how many open sessions are pinned to each version of an agent, by the version's fingerprint."""


class Action(StrEnum):
    """What prune does with an agent."""

    KEEP = "keep"  # nothing
    RETIRE = "retire"  # disable and archive it; delete its versions after the grace period
    DELETE = "delete"  # delete the versions of a retired or deleted agent
    TRIM = "trim"  # delete superseded versions; the agent is not touched


@dataclass(frozen=True, slots=True)
class Verdict:
    """Prune's decision about an agent.

    Attributes:
        workspace: The agent's workspace.
        agent: The agent.
        action: The action.
        reason: The reason, as a clause that continues "The agent …".
        idle_since: Since when the agent is idle; None if that is not the reason.
        unused_since: A use after this cancels the action.
        versions: The versions concerned.
    """

    workspace: str
    agent: str
    action: Action
    reason: str
    idle_since: datetime | None
    unused_since: datetime
    versions: tuple[ProviderVersion, ...] = ()

    @property
    def retire(self) -> bool:
        """Whether the agent as a whole is retired or deleted."""
        return self.action in (Action.RETIRE, Action.DELETE)


def prune_verdict(agent: Agent, now: datetime, policy: PrunePolicy, *, has_open_session: bool) -> Verdict:
    """Return the decision about an agent that is due because it is idle or retired."""
    record, spec = agent.record, agent.declaration.spec
    idle_after = policy.look_after.idle if spec.idle_after_s is None else timedelta(seconds=spec.idle_after_s)
    cutoff = now - idle_after - policy.use_lag
    since = record.idle_since if record else None
    versions = record.held if record else ()

    def verdict(reason: str, action: Action = Action.KEEP) -> Verdict:
        return Verdict(agent.workspace, agent.name, action, reason, since, cutoff, versions)

    if record is None or since is None:
        return verdict(f"is {agent.state.value}: there is nothing to retire")
    if agent.declaration.deleted and not record.retired:
        return verdict("was deleted, but is still at the provider", Action.DELETE)
    if record.state is AgentState.DELETED:
        return verdict("was deleted, but a version was left at the provider", Action.DELETE)
    if has_open_session:
        return verdict("has an open session")
    if record.retired and not record.archived:
        return verdict("is retired, but a version was left at the provider", Action.RETIRE)
    if record.retired:
        return verdict("was retired, and its grace period is over", Action.DELETE)
    if retained(spec):
        return verdict("is pinned")
    if agent.declaration.created_at > now - policy.keep_new_for:
        return verdict("was declared only recently")
    if since > cutoff:
        return verdict("was used recently")
    return verdict(f"was not used since {since:%Y-%m-%d %H:%M:%S}Z", Action.RETIRE)


def surplus_verdicts(
    agent: Agent, now: datetime, look_after: RetentionPolicy, pinned: Mapping[str, int]
) -> Sequence[Verdict]:
    """Return the decisions about an agent's surplus superseded versions.

    Args:
        agent: The agent.
        now: The time.
        look_after: How many versions are kept, and for how long.
        pinned: Number of open sessions pinned to a version, by its fingerprint.
    """
    surplus = agent.record.surplus(look_after.versions_kept) if agent.record else ()
    cutoff = now - look_after.superseded
    verdicts = [
        Verdict(
            agent.workspace,
            agent.name,
            Action.KEEP,
            f"has {pinned[version.fingerprint]} open session(s) pinned to version {version.version}",
            None,
            cutoff,
            (version,),
        )
        for version in surplus
        if pinned.get(version.fingerprint)
    ]
    if free := tuple(version for version in surplus if not pinned.get(version.fingerprint)):
        reason = f"has {len(free)} superseded version(s) more than the {look_after.versions_kept} that are kept"
        verdicts.append(Verdict(agent.workspace, agent.name, Action.TRIM, reason, None, cutoff, free))
    return verdicts


class Prune:
    """Finds due agents and prunes them. Reads in proportion to the agents that are due."""

    def __init__(
        self,
        catalog: Catalog,
        idle: DueIndex,
        surplus: DueIndex,
        *,
        has_open_session: Callable[[str, str], Awaitable[bool]],
        in_team: Callable[[str, str], Awaitable[bool]],
        pinned: PinnedSessions,
        policy: PrunePolicy,
        clock: Clock,
    ) -> None:
        self._catalog = catalog
        self._idle = idle
        self._surplus = surplus
        self._has_open_session = has_open_session
        self._in_team = in_team
        self._pinned = pinned
        self._policy = policy
        self._clock = clock

    async def plan(self, workspace: str | None = None) -> Sequence[Verdict]:
        """Return the decisions about all due agents, of one workspace or of all; changes nothing."""
        now = self._clock()
        verdicts = [
            verdict
            async for entry in self._idle.until(now)
            if workspace in (None, entry.workspace)
            and (verdict := await if_readable(self._judged(entry, now), "agent", _key(entry)))
        ]
        async for entry in self._surplus.until(now):
            if workspace in (None, entry.workspace):
                verdicts += await if_readable(self._judged_surplus(entry, now), "agent", _key(entry)) or ()
        return verdicts

    async def run(self, signals: AgentSignals, workspace: str | None = None) -> Sequence[Verdict]:
        """Carry out the decisions and return them. Agents used meanwhile are not pruned."""
        from lifecycle.registry.actor_operations import Retire, Trim  # noqa: PLC0415 - cold start

        verdicts = await self.plan(workspace)
        for verdict in verdicts:
            match verdict.action:
                case Action.KEEP:
                    continue
                case Action.TRIM:
                    operation = Trim(new_id(), verdict.versions, verdict.unused_since, why=verdict.reason)
                case Action.RETIRE | Action.DELETE:
                    grace_s = 0 if verdict.action is Action.DELETE else int(self._policy.grace.total_seconds())
                    operation = Retire(new_id(), verdict.unused_since, grace_s, why=verdict.reason)
            await signals.send(verdict.workspace, verdict.agent, operation)
        return verdicts

    async def _judged(self, entry: Entry, now: datetime) -> Verdict | None:
        agent = await self._catalog.find(entry.workspace, entry.name)
        if agent is None or agent.record is None or agent.record.idle_since is None:
            await self._forget(self._idle, entry, now)
            return None
        due = agent.record.prune_due(self._policy.look_after.idle)
        if due is not None and due > now:
            return None  # due later in this hour, or used since it was entered
        has_open = await self._has_open_session(entry.workspace, entry.name)
        verdict = prune_verdict(agent, now, self._policy, has_open_session=has_open)
        idle = verdict.action is Action.RETIRE and not (agent.record.retired or agent.declaration.deleted)
        if idle and await self._in_team(entry.workspace, entry.name):
            return replace(verdict, action=Action.KEEP, reason="is a member of a team")
        return verdict

    async def _judged_surplus(self, entry: Entry, now: datetime) -> Sequence[Verdict]:
        agent = await self._catalog.find(entry.workspace, entry.name)
        due = surplus_due(agent.record, self._policy.look_after) if agent is not None and agent.record else None
        if agent is None or due is None:
            await self._forget(self._surplus, entry, now)
            return ()
        if due > now:
            return ()
        pinned = await self._pinned(entry.workspace, entry.name)
        return surplus_verdicts(agent, now, self._policy.look_after, pinned)

    async def _forget(self, index: DueIndex, entry: Entry, now: datetime) -> None:
        if outlasted(entry, now):
            await index.drop(entry.workspace, entry.name, entry.hour)


def _key(entry: Entry) -> str:
    return f"{entry.workspace}/{entry.name}"
