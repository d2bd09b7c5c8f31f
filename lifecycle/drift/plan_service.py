"""Plan and apply: what differs between the registry and the providers, kept so that exactly that is done about it.

Only agents' actors change anything, and each of them looks again before it does: a plan says what to ask them for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from kernel.errors import Conflict, InvalidInput
from kernel.ids import new_id
from lifecycle.drift.plan import DriftAction, PlanLine
from lifecycle.drift.planner import AWAY
from lifecycle.drift.store import LEFT_OUT, summary_of

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.drift.inventory import Inventory
    from lifecycle.drift.store import PlanStore, StoredPlan, Summary
    from lifecycle.registry.catalog import Agent, Catalog
    from lifecycle.registry.operations import Operation
    from lifecycle.registry.providers import Providers
    from lifecycle.registry.signals import AgentSignals

_AT_ONCE = 16


class LineOutcome(StrEnum):
    """What has become of a line."""

    PLANNED = "planned"  # not to be applied yet
    SKIPPED = "skipped"  # destructive, and that was not asked for
    REMARK = "remark"  # there is nothing to do
    SENT = "sent"  # the actor was just told
    PENDING = "pending"  # the actor was told and has not done it yet
    DONE = "done"
    FAILED = "failed"
    OVERTAKEN = "overtaken"  # the agent was declared again, retired or disabled since


@dataclass(frozen=True, slots=True)
class PlanStep:
    """A line of a plan, its number in it (from 0 on), and what has become of it; `detail` is why it failed."""

    number: int
    line: PlanLine
    outcome: LineOutcome
    detail: str = ""


class Plans:
    """Makes, shows and applies plans."""

    def __init__(
        self, store: PlanStore, inventory: Inventory, catalog: Catalog, providers: Providers, clock: Clock
    ) -> None:
        self._store = store
        self._inventory = inventory
        self._catalog = catalog
        self._providers = providers
        self._clock = clock

    async def make(self, workspace: str) -> StoredPlan:
        """Look around, and store what differs as a plan.

        Raises:
            AppError: A provider that the app is connected to could not be looked at.
        """
        plan = await self._inventory.plan(workspace)
        stored = await self._store.save(workspace, new_id(), plan, self._clock())
        await self._store.note(workspace, stored.summary)
        return stored

    async def find(self, workspace: str, plan_id: str) -> StoredPlan:
        """Return a plan.

        Raises:
            NotFound: There is none of the id (any more).
        """
        return await self._store.read(workspace, plan_id)

    async def steps(self, stored: StoredPlan, first: int, limit: int) -> Sequence[PlanStep]:
        """Return up to `limit` lines from number `first` on, with what has become of them by now.

        Reads a record for each line, and asks the provider of those that delete whether the versions are still there.

        Raises:
            NotFound: The plan was dropped meanwhile.
        """
        lines = await self._store.lines(stored, first, limit)
        free = asyncio.Semaphore(_AT_ONCE)

        async def look(number: int, line: PlanLine) -> PlanStep:
            async with free:
                return await self._look(stored, number, line)

        return await asyncio.gather(*(look(number, line) for number, line in enumerate(lines, first)))

    async def apply(
        self,
        workspace: str,
        plan_id: str,
        signals: AgentSignals,
        *,
        only: Collection[int] | None = None,
        destructive: bool = False,
        by: str = "",
    ) -> tuple[StoredPlan, Sequence[PlanStep]]:
        """Tell the actors what the plan says, and return the plan and what was done about each line.

        Lines that no longer differ are done, whoever did it: applying lines again, also after it was cut off, does
        what is left of them.

        Args:
            workspace: Whose plan it is.
            plan_id: Which.
            signals: The way to the actors.
            only: The numbers of the lines to apply; all when it is None.
            destructive: Whether lines that delete are applied, too.
            by: Who asks for it, for the agents' audit trails.

        Raises:
            NotFound: There is no such plan (any more).
            InvalidInput: It has no line of a number (code `unknown_plan_line`).
            Conflict: The plan does not know of a difference (code `plan_stale`): of any agent, or with `only` of
                those that the lines are about.
            AppError: A provider that the app is connected to could not be looked at.
        """
        lines = await self._store.lines(await self._store.read(workspace, plan_id))
        chosen = _chosen(lines, only)
        claims = (await self._inventory.plan(workspace)).claims
        known = frozenset[tuple[str, ...]]().union(*(line.claims for line in lines))
        agents = {line.agent for line in chosen.values()}
        if any(only is None or agent in agents for _, agent, *_ in claims - known):
            msg = "Something differs in another way than when the plan was made; make a new one."
            raise Conflict(msg, code="plan_stale")
        left_out = {n for n, line in chosen.items() if line.destructive and not destructive and line.claims & claims}
        stored = await self._store.begin(workspace, plan_id, chosen.keys() - left_out, left_out)
        free = asyncio.Semaphore(_AT_ONCE)

        async def tell(number: int, line: PlanLine) -> PlanStep:
            async with free:
                outcome = LineOutcome.SKIPPED
                if number not in left_out:
                    outcome = await self._tell(stored, number, line, claims, signals, by)
                return PlanStep(number, line, outcome)

        return stored, await asyncio.gather(*(tell(number, line) for number, line in chosen.items()))

    async def reconcile(self) -> Mapping[str, Summary]:
        """Look around in all workspaces, keep the summaries for `latest`, and return them. Changes nothing else."""
        summaries: dict[str, Summary] = {}
        async for workspace, plan in self._inventory.plans():
            summaries[workspace] = summary_of(plan, self._clock())
            await self._store.note(workspace, summaries[workspace])
        return summaries

    async def latest(self, workspace: str) -> Summary | None:
        """Return what the latest look at the workspace came to; None before the first one."""
        return await self._store.latest(workspace)

    async def _tell(
        self,
        stored: StoredPlan,
        number: int,
        line: PlanLine,
        claims: frozenset[tuple[str, ...]],
        signals: AgentSignals,
        by: str,
    ) -> LineOutcome:
        if line.action is DriftAction.NONE:
            return LineOutcome.REMARK
        if not line.claims & claims:
            return LineOutcome.DONE
        agent = await self._catalog.find(stored.workspace, line.agent)
        operation = _operation(_operation_id(stored, number), line, agent, claims, by)
        if operation is None:
            return LineOutcome.OVERTAKEN
        await signals.send(stored.workspace, line.agent, operation)
        return LineOutcome.SENT

    async def _look(self, stored: StoredPlan, number: int, line: PlanLine) -> PlanStep:
        told = stored.told_of(number)
        if line.action is DriftAction.NONE:
            return PlanStep(number, line, LineOutcome.REMARK)
        if told in (0, LEFT_OUT):
            return PlanStep(number, line, LineOutcome.PLANNED if told == 0 else LineOutcome.SKIPPED)
        agent = await self._catalog.find(stored.workspace, line.agent)
        operation_id = _operation_id(stored, number)
        if line.action in (DriftAction.SWEEP, DriftAction.REMOVE):
            outcome, detail = await self._look_for(line, settled=_settled(agent, operation_id))
        else:
            outcome, detail = _made(line, agent, operation_id)
        return PlanStep(number, line, outcome, detail)

    async def _look_for(self, line: PlanLine, *, settled: bool) -> tuple[LineOutcome, str]:
        """Return whether what was to be deleted is gone, and why not."""
        there = [await self._providers[each.provider].exists(each) for each in line.versions]
        if not any(there):
            return LineOutcome.DONE, ""
        if settled:
            return LineOutcome.FAILED, f"{sum(there)} of {len(there)} versions are still there."
        return LineOutcome.PENDING, ""


def _chosen(lines: Sequence[PlanLine], only: Collection[int] | None) -> Mapping[int, PlanLine]:
    """Return the lines of these numbers, by number."""
    if only is None:
        return dict(enumerate(lines))
    unknown = sorted(number for number in only if not 0 <= number < len(lines))
    if unknown:
        msg = f"The plan has {len(lines)} lines, counted from 0; there is no line {unknown[0]}."
        raise InvalidInput(msg, code="unknown_plan_line", fields={"/lines": msg})
    return {number: lines[number] for number in sorted(set(only))}


def _operation_id(stored: StoredPlan, number: int) -> str:
    return f"{stored.id}.{number}.{stored.told_of(number)}"


def _operation(
    operation_id: str, line: PlanLine, agent: Agent | None, claims: frozenset[tuple[str, ...]], by: str
) -> Operation | None:
    """Return what to ask the actor for; None when the agent was declared again meanwhile."""
    from lifecycle.registry.operations import Ensure, Remove, Renew, Sweep  # noqa: PLC0415 - cold start

    if line.action is DriftAction.SWEEP:
        left = tuple(each for each in line.versions if replace(line, versions=(each,)).claims & claims)
        return Sweep(operation_id, left, by)
    if agent is None or agent.declaration.revision != line.revision:
        return None
    if line.action is DriftAction.REMOVE:
        return Remove(operation_id, line.revision)
    if line.action is DriftAction.RENEW:
        return Renew(operation_id, line.revision, agent.declaration.spec, by)
    return Ensure(operation_id, line.revision, agent.declaration.spec)


def _made(line: PlanLine, agent: Agent | None, operation_id: str) -> tuple[LineOutcome, str]:
    """Return whether the agent is as the line would have it, and why not."""
    if agent is None or agent.declaration.revision != line.revision or agent.state in AWAY:
        return LineOutcome.OVERTAKEN, ""
    record, settled = agent.record, _settled(agent, operation_id)
    if record is not None and record.failure is not None and record.failure.operation_id == operation_id:
        return LineOutcome.FAILED, record.failure.detail
    if agent.ready and record is not None:
        # A renewed agent was ready before, too, with the version that the line complains of.
        renewed = settled or not line.versions or record.version != line.versions[0]
        return (LineOutcome.DONE if renewed or line.action is DriftAction.ENSURE else LineOutcome.PENDING), ""
    return (LineOutcome.FAILED, f"It is {agent.state.value}.") if settled else (LineOutcome.PENDING, "")


def _settled(agent: Agent | None, operation_id: str) -> bool:
    """Return whether the actor has dealt with the operation; an old one may be forgotten."""
    return agent is not None and agent.record is not None and operation_id in agent.record.applied
