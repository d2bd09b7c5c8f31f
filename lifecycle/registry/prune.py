"""Retiring agents nobody uses, and deleting versions nobody needs: which, why, and which not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from kernel.codec import Unreadable, pass_over
from kernel.due_index import outlasted
from kernel.ids import new_id
from lifecycle.registry.providers import ProviderVersion
from lifecycle.registry.record import AgentState, retained
from lifecycle.registry.retention import RetentionPolicy, surplus_due

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.due_index import DueIndex, Entry
    from lifecycle.registry.catalog import Agent, Catalog
    from lifecycle.registry.signals import AgentSignals


@dataclass(frozen=True, slots=True)
class PrunePolicy:
    """When an agent is idle.

    Attributes:
        look_after: How long agents and versions are left alone.
        keep_new_for: An agent younger than this is kept, used or not.
        use_lag: How long a use may go unnoticed: told late (`lifecycle.loader.uses`), or made with what a worker has
            cached.
        grace: How long a retired agent's versions are left at the provider.
    """

    look_after: RetentionPolicy
    keep_new_for: timedelta
    use_lag: timedelta
    grace: timedelta


PinnedSessions = Callable[[str, str], Awaitable[Mapping[str, int]]]
"""Returns how many open sessions are pinned to each version of a workspace's agent, by the version's fingerprint."""


class Action(StrEnum):
    """What prune does with a candidate."""

    KEEP = "keep"  # nothing
    RETIRE = "retire"  # switch it off and archive it; its versions are deleted after the grace period
    DELETE = "delete"  # delete the versions of a retired or deleted agent
    TRIM = "trim"  # delete superseded versions; the agent is not touched


@dataclass(frozen=True, slots=True)
class Verdict:
    """What prune makes of one candidate, and why.

    Attributes:
        workspace: The agent's workspace.
        agent: The agent.
        action: What is done.
        reason: Why; a clause that goes on after "The agent".
        idle_since: Since when the agent is idle; None where it is not about that.
        unused_since: A use after this keeps what is to go.
        versions: The versions it is about.
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
        """Whether the agent as a whole goes, now or at the end of its grace period."""
        return self.action in (Action.RETIRE, Action.DELETE)


def prune_verdict(agent: Agent, now: datetime, policy: PrunePolicy, *, has_open_session: bool) -> Verdict:
    """Return what becomes of an agent that is due because it is idle, or was retired."""
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
    if record.retired and not record.put_away:
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
    """Return what becomes of the superseded versions that an agent has to spare.

    Args:
        agent: The agent.
        now: The time.
        look_after: How many it keeps, and how long they are left alone.
        pinned: How many open sessions are pinned to a version, by its fingerprint.
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
    """Finds and acts on what is due. It reads in proportion to the agents that are due, not to all."""

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
        """Return the verdicts on every agent that is due, of one workspace or of all, changing nothing."""
        now = self._clock()
        verdicts = [
            verdict
            async for entry in self._idle.until(now)
            if workspace in (None, entry.workspace) and (verdict := await self._judged(entry, now))
        ]
        async for entry in self._surplus.until(now):
            if workspace in (None, entry.workspace):
                verdicts += await self._judged_surplus(entry, now)
        return verdicts

    async def run(self, signals: AgentSignals, workspace: str | None = None) -> Sequence[Verdict]:
        """Do what the plan says, and return the plan. What is used meanwhile is not touched after all."""
        from lifecycle.registry.operations import Retire, Trim  # noqa: PLC0415 - cold start

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
        try:
            agent = await self._catalog.find(entry.workspace, entry.name)
        except Unreadable as error:
            pass_over("agent", f"{entry.workspace}/{entry.name}", error)
            return None
        if agent is None or agent.record is None or agent.record.idle_since is None:
            await self._forget(self._idle, entry, now)
            return None
        due = agent.record.prune_due(self._policy.look_after.idle)
        if due is not None and due > now:
            return None  # entered earlier in this hour than it is due, or left over from before its latest use
        has_open = await self._has_open_session(entry.workspace, entry.name)
        verdict = prune_verdict(agent, now, self._policy, has_open_session=has_open)
        idle = verdict.action is Action.RETIRE and not (agent.record.retired or agent.declaration.deleted)
        if idle and await self._in_team(entry.workspace, entry.name):
            return replace(verdict, action=Action.KEEP, reason="is a member of a team")
        return verdict

    async def _judged_surplus(self, entry: Entry, now: datetime) -> Sequence[Verdict]:
        try:
            agent = await self._catalog.find(entry.workspace, entry.name)
        except Unreadable as error:
            pass_over("agent", f"{entry.workspace}/{entry.name}", error)
            return ()
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
