"""Selects the agents to search for savings, and what the rules need to know of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lifecycle.registry.record import AgentState, retained
from llmops.capacity.pools import pool_of
from llmops.optimization.proposals import AgentProfile, OptimizationRequest

if TYPE_CHECKING:
    from lifecycle.registry.catalog import Agent, Catalog
    from llmops.capacity.pool_store import PoolStore

_BYTES_A_TOKEN = 4


class AgentSelection:
    """Reads the agents of a request."""

    def __init__(self, catalog: Catalog, pools: PoolStore) -> None:
        self._catalog = catalog
        self._pools = pools

    async def one(self, workspace: str, name: str) -> Agent:
        """Return the agent.

        Raises:
            NotFound: It does not exist.
        """
        return await self._catalog.get(workspace, name)

    async def of(self, workspace: str, request: OptimizationRequest) -> Sequence[Agent]:
        """Return the requested agents.

        Raises:
            NotFound: An agent or a pool does not exist.
        """
        if request.agent is not None:
            return [await self._catalog.get(workspace, request.agent)]
        found = [agent async for agent in self._catalog.all(workspace) if agent.state is not AgentState.DELETED]
        if request.pool is None:
            return found
        wanted, _ = await self._pools.get(workspace, request.pool)
        pools = await self._pools.of(workspace, refresh=True)
        in_pool = ((agent, pool_of(pools, agent.name, agent.declaration.spec.labels)) for agent in found)
        return [agent for agent, pool in in_pool if pool is not None and pool.name == wanted.name]


def profile_of(agent: Agent) -> AgentProfile:
    """Return an agent's profile for the rules."""
    spec, record = agent.declaration.spec, agent.record
    policy = spec.evaluation
    judges = {"judge": policy.judge, "foundry": policy.foundry} if policy else {}
    used = record.last_used if record else None
    return AgentProfile(
        agent.name,
        agent.declaration.revision,
        spec.provider,
        spec.model,
        len(spec.instructions.encode()) // _BYTES_A_TOKEN,
        spec.max_output_tokens,
        spec.reasoning_effort,
        {name: judge.share for name, judge in judges.items() if judge is not None},
        agent.state is AgentState.ACTIVE and not retained(spec),
        max(agent.declaration.updated_at, used or agent.declaration.updated_at),
        spec.max_history_tokens,
        len(record.superseded) if record else 0,
        record.superseded_since if record else None,
    )
