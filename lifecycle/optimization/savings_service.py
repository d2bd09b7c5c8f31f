"""Finds savings, applies them as an owner would, and measures a week later what they have really saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING, Any, cast

from kernel.errors import Conflict, InvalidInput
from kernel.ids import new_id
from lifecycle.configuration.layers import AgentConfig
from lifecycle.optimization.agent_selection import AgentSelection, profile_of
from lifecycle.registry.record import AgentState
from llmops.facts.fact_store import days
from llmops.facts.performance_summary import PerformanceSummary
from llmops.optimization.proposals import (
    MEASURED_AFTER,
    MONTH_DAYS,
    MOST_PROPOSALS,
    Applied,
    Change,
    Measured,
    Optimization,
    OptimizationRequest,
    Proposal,
    recommend,
)
from llmops.optimization.rule_input import AgentHistory, FactHistory
from llmops.optimization.savings_rules import proposals_of

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.optimization.instance_savings import InstanceSavings
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.registry.administration import Administration
    from lifecycle.registry.catalog import Agent
    from llmops.facts.attempt_fact import AttemptFact
    from llmops.facts.sums import Cell
    from llmops.optimization.store import OptimizationStore
    from llmops.spend.rate_store import RateStore

_BYTES_A_TOKEN = 4


class Optimizations:
    """Finds savings, applies them and measures them."""

    def __init__(
        self,
        store: OptimizationStore,
        history: FactHistory,
        agents: AgentSelection,
        instances: InstanceSavings,
        rates: RateStore,
        administration: Administration,
        clock: Clock,
    ) -> None:
        self._store = store
        self._history = history
        self._figures = history.figures
        self._agents = agents
        self._instances = instances
        self._rates = rates
        self._administration = administration
        self._clock = clock

    async def find(self, workspace: str, request: OptimizationRequest) -> Optimization:
        """Find savings by the facts of the last days, store them, and return them.

        Raises:
            NotFound: An agent or a pool of the request does not exist.
        """
        now = self._clock()
        last = now.date()
        first = last - timedelta(days=request.days - 1)
        agents = await self._agents.of(workspace, request)
        facts, whole = await self._history.read(workspace, request.agent, first, last)
        if request.pool is not None:
            names = {agent.name for agent in agents}
            facts = [fact for fact in facts if fact.who.agent in names]
        looked_at = list(days(facts[0].timing.ended_at.date(), last)) if facts else list(days(first, last))
        rates = await self._rates.of(workspace)
        by_agent: dict[str, list[AttemptFact]] = {}
        for fact in facts:
            by_agent.setdefault(fact.who.agent, []).append(fact)
        found: list[Proposal] = []
        for agent in agents:
            seen = by_agent.get(agent.name, [])
            proposals = proposals_of(AgentHistory(profile_of(agent), seen, looked_at, rates, request))
            found += [_with_body(one, agent) for one in proposals]
        if request.agent is None and request.pool is None and (idle := await self._instances.find(workspace)):
            found.append(idle)
        spent = sum(fact.cost_micro_usd for fact in facts)
        projected = round(spent * MONTH_DAYS / max(1, len(looked_at)))
        reached, ordered = recommend(found, projected, request.target)
        result = Optimization(
            new_id(),
            now,
            request,
            first,
            last,
            len(facts),
            whole,
            spent,
            projected,
            reached,
            tuple(ordered[:MOST_PROPOSALS]),
        )
        await self._store.add(workspace, result)
        return result

    async def get(self, workspace: str, ident: str) -> tuple[Optimization, Mapping[str, Measured]]:
        """Return an optimization, and the measured savings of its proposals that were applied at least a week ago.

        Raises:
            NotFound: It does not exist.
        """
        found = await self._store.get(workspace, ident)
        now = self._clock()
        measured: dict[str, Measured] = {}
        for one in found.proposals:
            if one.applied is not None and one.applied.at + MEASURED_AFTER <= now:
                scaled = one.change.kind == "scale"
                of = await (self._instances.saved(one) if scaled else self._measured(workspace, one, one.applied.at))
                measured |= {one.id: of} if of is not None else {}
        return found, measured

    async def list(self, workspace: str, limit: int, after: str | None) -> tuple[Sequence[Optimization], str | None]:
        """Return up to `limit` optimizations, newest first, and the id to continue after; None at the end."""
        return await self._store.list(workspace, limit, after)

    async def apply(
        self, workspace: str, ident: str, wanted: Sequence[str], signals: AgentSignals, by: str = ""
    ) -> Optimization:
        """Apply these proposals, each once, and return the optimization.

        Raises:
            NotFound: The optimization, or an agent of it, does not exist.
            InvalidInput: It has no such proposal (`unknown_proposal`), or one has to be done by people
                (`not_applicable`); nothing is changed then.
            Conflict: An agent was declared again since (`agent_changed`); the proposals before it are applied.
        """
        found = await self._store.get(workspace, ident)
        for name in wanted:
            one = found.proposal(name)
            if one is None:
                msg = f"The optimization has no proposal {name!r}."
                raise InvalidInput(msg, code="unknown_proposal", fields={"/proposals": "none of its proposals"})
            if one.change.kind == "manual":
                msg = f"The proposal {name!r} has to be done by people; see its advice."
                raise InvalidInput(msg, code="not_applicable", fields={"/proposals": "not a change of this API"})
        for name in dict.fromkeys(wanted):
            found = await self._apply(workspace, found, name, signals, by)
        return found

    async def _apply(
        self, workspace: str, found: Optimization, name: str, signals: AgentSignals, by: str
    ) -> Optimization:
        one = found.proposal(name)
        if one is None or one.applied is not None:
            return found
        if one.change.kind == "scale":
            return await self._scale(workspace, found, one, by)
        agent = await self._agents.one(workspace, one.agent)
        done = one.begun and _is_done(agent, one.change)
        if not done and agent.declaration.revision != one.change.revision:
            msg = f"The agent {one.agent!r} was declared anew since; ask for proposals again."
            raise Conflict(msg, code="agent_changed")
        if not one.begun:  # so that applying again after a crash recognizes its own change
            found = await self._set(workspace, found, replace(one, begun=True))
        if not done:
            agent = await self._make(workspace, agent, one.change, signals, by)
        applied = Applied(self._clock(), agent.declaration.revision, by)
        return await self._set(workspace, found, replace(one, begun=True, applied=applied))

    async def _scale(self, workspace: str, found: Optimization, one: Proposal, by: str) -> Optimization:
        begun = replace(one, begun=True)
        if not one.begun:
            found = await self._set(workspace, found, begun)
        await self._instances.apply(workspace, one, by)
        return await self._set(workspace, found, replace(begun, applied=Applied(self._clock(), 0, by)))

    async def _make(self, workspace: str, agent: Agent, change: Change, signals: AgentSignals, by: str) -> Agent:
        if change.kind == "retire":
            return await self._administration.retire(workspace, agent.name, signals, by=by)
        config = AgentConfig.model_validate(change.body)
        made, _ = await self._administration.declare(workspace, agent.name, config, signals, agent.etag, by=by)
        return made

    async def _set(self, workspace: str, found: Optimization, changed: Proposal) -> Optimization:
        def step(stored: Optimization) -> Optimization:
            current = stored.proposal(changed.id)
            return stored if current is not None and current.applied is not None else stored.having(changed)

        return await self._store.change(workspace, found.id, step)

    async def _measured(self, workspace: str, one: Proposal, at: datetime) -> Measured:
        cells = await self._figures.hours(
            workspace, one.agent, (at - MEASURED_AFTER).date(), (at + MEASURED_AFTER).date()
        )
        before = [cell.summary for cell in cells if at - MEASURED_AFTER <= cell.start < at]
        after = [cell.summary for cell in cells if at <= cell.start < at + MEASURED_AFTER]
        earlier, later = (reduce(PerformanceSummary.__add__, sums, PerformanceSummary()) for sums in (before, after))
        was, now_is = earlier.cost_per_run, later.cost_per_run
        if one.kind == "judges":
            was = await self._judging_per_run(workspace, one.agent, at - MEASURED_AFTER, at, cells)
            now_is = await self._judging_per_run(workspace, one.agent, at, at + MEASURED_AFTER, cells)
        saved = None if was is None or now_is is None else round((was - now_is) * later.runs)
        return Measured(earlier.runs, later.runs, was, now_is, saved, earlier.quality, later.quality)

    async def _judging_per_run(
        self, workspace: str, agent: str, since: datetime, until: datetime, cells: Sequence[Cell]
    ) -> float | None:
        """Return what judging cost per run; None without runs.

        Costs are by day, so those of whole days are divided by the runs of these days: the change's day is left out.
        """
        wanted: list[date] = [day for day in days(since.date(), until.date()) if since.date() < day < until.date()]
        runs = sum(cell.summary.runs for cell in cells if cell.start.date() in wanted)
        spent = 0
        for day in wanted:
            costs = await self._figures.costs(day, workspace)
            spent += sum(
                spend.cost_micro_usd
                for group, spend in costs.items()
                if (group.agent, group.purpose) == (agent, "evaluation")
            )
        return spent / runs if runs else None


def _with_body(one: Proposal, agent: Agent) -> Proposal:
    """Return the proposal with the whole declaration that it results in."""
    if one.change.kind != "declare":
        return one
    declaration = agent.declaration
    declared = (declaration.config or AgentConfig.behind(declaration.spec)).model_dump(mode="json")
    spec_fields = declaration.spec.model_dump(mode="json")
    fields = {name: _merged(spec_fields.get(name), value) for name, value in one.change.fields.items()}
    return replace(one, change=replace(one.change, fields=fields, body={**declared, **fields}))


def _merged(known: Any, value: Any) -> Any:
    """Return `known` with `value` merged into it: objects field by field, else replaced."""
    if not isinstance(known, Mapping) or not isinstance(value, Mapping):
        return value
    before, after = cast("Mapping[str, Any]", known), cast("Mapping[str, Any]", value)
    return {**before, **{name: _merged(before.get(name), each) for name, each in after.items()}}


def _is_done(agent: Agent, change: Change) -> bool:
    """Return whether the agent has the change already, by an earlier try."""
    if change.kind == "retire":
        return agent.state is AgentState.IDLE
    return agent.declaration.config == AgentConfig.model_validate(change.body)
