"""Makes drift plans, stores them, and applies exactly what was stored.

Only agents' actors change anything, and each checks again before it does: a plan is a list of requests to them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from kernel.errors import Conflict, InvalidInput
from kernel.ids import new_id
from kernel.lazy_dataclass import dataclass
from lifecycle.drift.drift_plan import AWAY, DriftAction, PlanLine
from lifecycle.drift.plan_store import EXCLUDED, summary_of

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.drift.inventory import Inventory
    from lifecycle.drift.plan_store import PlanStore, StoredPlan, Summary
    from lifecycle.registry.actor_operations import Operation
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.registry.catalog import Agent, Catalog
    from lifecycle.registry.providers import Providers

_AT_ONCE = 16


class LineOutcome(StrEnum):
    """State of a plan's line."""

    PLANNED = "planned"  # not applied yet
    SKIPPED = "skipped"  # destructive, and applying excluded those
    REMARK = "remark"  # has no action
    SENT = "sent"  # the actor was just signalled
    PENDING = "pending"  # the actor was signalled and has not finished
    DONE = "done"
    FAILED = "failed"
    OVERTAKEN = "overtaken"  # the agent was declared again, retired or disabled since


@dataclass(frozen=True, slots=True)
class PlanStep:
    """A line of a plan, its number from 0, and its state; `detail` is why it failed."""

    number: int
    line: PlanLine
    outcome: LineOutcome
    detail: str = ""


class Plans:
    """Makes, reads and applies plans."""

    def __init__(
        self, store: PlanStore, inventory: Inventory, catalog: Catalog, providers: Providers, clock: Clock
    ) -> None:
        self._store = store
        self._inventory = inventory
        self._catalog = catalog
        self._providers = providers
        self._clock = clock

    async def make(self, workspace: str) -> StoredPlan:
        """Make a plan of the workspace now, and store it.

        Raises:
            AppError: A configured provider could not be read.
        """
        plan = await self._inventory.plan(workspace)
        stored = await self._store.save(workspace, new_id(), plan, self._clock())
        await self._store.note(workspace, stored.summary)
        return stored

    async def find(self, workspace: str, plan_id: str) -> StoredPlan:
        """Return a plan.

        Raises:
            NotFound: There is no plan of this id (any more).
        """
        return await self._store.read(workspace, plan_id)

    async def steps(self, stored: StoredPlan, first: int, limit: int) -> Sequence[PlanStep]:
        """Return up to `limit` lines from number `first` on, with their present states.

        Reads a record for each line, and for deleting lines asks the provider whether the versions still exist.

        Raises:
            NotFound: The plan was deleted meanwhile.
        """
        lines = await self._store.lines(stored, first, limit)
        free = asyncio.Semaphore(_AT_ONCE)

        async def look(number: int, line: PlanLine) -> PlanStep:
            async with free:
                return await self._line_state(stored, number, line)

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
        """Signal the actors to apply the plan, and return the plan and the state of each line.

        Differences that are gone already count as done. Applying again, also after an interruption, applies what is
        left.

        Args:
            workspace: The plan's workspace.
            plan_id: The plan's id.
            signals: Sends signals to actors.
            only: Numbers of the lines to apply; None for all.
            destructive: Whether to apply lines that delete.
            by: Who applies it, for the agents' audit trails.

        Raises:
            NotFound: There is no plan of this id (any more).
            InvalidInput: It has no line of a number (code `unknown_plan_line`).
            Conflict: There is now a difference that is not in the plan (code `plan_stale`): of any agent, or with
                `only`, of the agents of these lines.
            AppError: A configured provider could not be read.
        """
        lines = await self._store.lines(await self._store.read(workspace, plan_id))
        chosen = _chosen(lines, only)
        claims = (await self._inventory.plan(workspace)).claims
        planned = frozenset[tuple[str, ...]]().union(*(line.claims for line in lines))
        agents = {line.agent for line in chosen.values()}
        if any(only is None or agent in agents for _, agent, *_ in claims - planned):
            msg = "There are other differences than when the plan was made; make a new plan."
            raise Conflict(msg, code="plan_stale")
        excluded = {n for n, line in chosen.items() if line.destructive and not destructive and line.claims & claims}
        stored = await self._store.begin(workspace, plan_id, chosen.keys() - excluded, excluded)
        free = asyncio.Semaphore(_AT_ONCE)

        async def tell(number: int, line: PlanLine) -> PlanStep:
            async with free:
                outcome = LineOutcome.SKIPPED
                if number not in excluded:
                    outcome = await self._signal(stored, number, line, claims, signals, by)
                return PlanStep(number, line, outcome)

        return stored, await asyncio.gather(*(tell(number, line) for number, line in chosen.items()))

    async def reconcile(self) -> Mapping[str, Summary]:
        """Compare all workspaces, store their summaries for `latest`, and return these. Change nothing else."""
        summaries: dict[str, Summary] = {}
        async for workspace, plan in self._inventory.plans():
            summaries[workspace] = summary_of(plan, self._clock())
            await self._store.note(workspace, summaries[workspace])
        return summaries

    async def latest(self, workspace: str) -> Summary | None:
        """Return the summary of the workspace's latest comparison; None before the first."""
        return await self._store.latest(workspace)

    async def _signal(
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

    async def _line_state(self, stored: StoredPlan, number: int, line: PlanLine) -> PlanStep:
        application = stored.sent_in(number)
        if line.action is DriftAction.NONE:
            return PlanStep(number, line, LineOutcome.REMARK)
        if application in (0, EXCLUDED):
            return PlanStep(number, line, LineOutcome.PLANNED if application == 0 else LineOutcome.SKIPPED)
        agent = await self._catalog.find(stored.workspace, line.agent)
        operation_id = _operation_id(stored, number)
        if line.action in (DriftAction.SWEEP, DriftAction.REMOVE):
            outcome, detail = await self._deletion_outcome(line, settled=_settled(agent, operation_id))
        else:
            outcome, detail = _agent_outcome(line, agent, operation_id)
        return PlanStep(number, line, outcome, detail)

    async def _deletion_outcome(self, line: PlanLine, *, settled: bool) -> tuple[LineOutcome, str]:
        """Return the outcome of a line that deletes, and why it failed; empty if it did not."""
        existing = [await self._providers[each.provider].exists(each) for each in line.versions]
        if not any(existing):
            return LineOutcome.DONE, ""
        if settled:
            return LineOutcome.FAILED, f"{sum(existing)} of {len(existing)} versions are still there."
        return LineOutcome.PENDING, ""


def _chosen(lines: Sequence[PlanLine], only: Collection[int] | None) -> Mapping[int, PlanLine]:
    """Return the chosen lines by number."""
    if only is None:
        return dict(enumerate(lines))
    unknown = sorted(number for number in only if not 0 <= number < len(lines))
    if unknown:
        msg = f"The plan has {len(lines)} lines, counted from 0; there is no line {unknown[0]}."
        raise InvalidInput(msg, code="unknown_plan_line", fields={"/lines": msg})
    return {number: lines[number] for number in sorted(set(only))}


def _operation_id(stored: StoredPlan, number: int) -> str:
    return f"{stored.id}.{number}.{stored.sent_in(number)}"


def _operation(
    operation_id: str, line: PlanLine, agent: Agent | None, claims: frozenset[tuple[str, ...]], by: str
) -> Operation | None:
    """Return the operation to signal to the actor; None if the agent was declared again meanwhile."""
    from lifecycle.registry.actor_operations import Ensure, Remove, Renew, Sweep  # noqa: PLC0415 - cold start

    if line.action is DriftAction.SWEEP:
        remaining = tuple(each for each in line.versions if replace(line, versions=(each,)).claims & claims)
        return Sweep(operation_id, remaining, by)
    if agent is None or agent.declaration.revision != line.revision:
        return None
    if line.action is DriftAction.REMOVE:
        return Remove(operation_id, line.revision)
    if line.action is DriftAction.RENEW:
        return Renew(operation_id, line.revision, agent.declaration.spec, by)
    return Ensure(operation_id, line.revision, agent.declaration.spec)


def _agent_outcome(line: PlanLine, agent: Agent | None, operation_id: str) -> tuple[LineOutcome, str]:
    """Return the outcome of a line for its agent, and why it failed; empty if it did not."""
    if agent is None or agent.declaration.revision != line.revision or agent.state in AWAY:
        return LineOutcome.OVERTAKEN, ""
    record, settled = agent.record, _settled(agent, operation_id)
    if record is not None and record.failure is not None and record.failure.operation_id == operation_id:
        return LineOutcome.FAILED, record.failure.detail
    if agent.ready and record is not None:
        # A renewed agent was ready before too, with the version that the line is about.
        renewed = settled or not line.versions or record.version != line.versions[0]
        return (LineOutcome.DONE if renewed or line.action is DriftAction.ENSURE else LineOutcome.PENDING), ""
    return (LineOutcome.FAILED, f"It is {agent.state.value}.") if settled else (LineOutcome.PENDING, "")


def _settled(agent: Agent | None, operation_id: str) -> bool:
    """Return whether the actor has finished the operation; old operations may not be remembered."""
    return agent is not None and agent.record is not None and operation_id in agent.record.applied
