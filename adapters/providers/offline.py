"""The offline provider: agents that answer by rule without a model, for trials, tests and demonstrations.

It behaves like a hosted provider: it stores its agents on its own side (table `offlineagents`), creates a new version
with every `create`, and calls "the model" through Agent Framework's own client layers (`offline_client`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from adapters.providers.failures import own_error, unknown_error
from kernel.errors import AppError, Unavailable
from kernel.tables import Delete, Insert, Row, RowChanged, RowExists, Span, Tables, every, put
from lifecycle.registry.providers import ProviderAgent, ProviderVersion, VersionRequest
from lifecycle.specs.spec import AgentSpec, content
from lifecycle.specs.tools import Toolbox, builtin_tools

if TYPE_CHECKING:
    from agent_framework import Agent, FunctionTool

    from kernel.clock import Clock

TABLE = "offlineagents"
"""The provider's table. Partition = provider name, row key = version; counters in the partition `<name>!counts`."""


class OfflineProvider:
    """Agents stored in a table that answer by rule.

    Attributes:
        tables: The tables.
        clock: Returns the current time, for creation times and built-in tools.
        toolbox: The tools that specs may name; None for the built-in ones.
    """

    def __init__(self, tables: Tables, clock: Clock, toolbox: Toolbox | None = None) -> None:
        self._tables = tables
        self._clock = clock
        self._toolbox = toolbox or Toolbox(builtin_tools(clock))

    async def find(self, wanted: VersionRequest) -> Sequence[ProviderVersion]:
        """Return the versions with the owner and the fingerprint, oldest first."""
        span = Span(wanted.name, where={"owner": wanted.owner, "fingerprint": wanted.fingerprint})
        rows = [row async for row in every(self._tables, TABLE, span)]
        return [_version(row) for row in sorted(rows, key=lambda row: int(row.key))]

    async def create(self, wanted: VersionRequest) -> ProviderVersion:
        """Create a new version, also when repeated; version numbers are never reused.

        Raises:
            Unavailable: `simulate.fail_creates` makes this attempt fail.
        """
        simulate = wanted.spec.simulate
        if simulate and simulate.fail_creates:
            attempt = await self._count(wanted.name, f"attempts-{wanted.fingerprint}")
            if attempt <= simulate.fail_creates:
                msg = f"Simulated outage: attempt {attempt} to create the agent fails ({simulate.fail_creates} do)."
                raise Unavailable(msg, code="provider_unavailable")
        row = Row(
            wanted.name,
            str(await self._count(wanted.name, "versions")),
            {
                "owner": wanted.owner,
                "workspace": wanted.workspace,
                "agent": wanted.agent,
                "fingerprint": wanted.fingerprint,
                "definition": content(wanted.spec),
                "created_at": self._clock(),
            },
        )
        await self._tables.commit(TABLE, [Insert(row)])
        return _version(row)

    async def delete(self, version: ProviderVersion) -> None:
        """Delete the version; one that does not exist is no error."""
        with suppress(RowChanged):
            await self._tables.commit(TABLE, [Delete(version.name, version.version)])

    async def exists(self, version: ProviderVersion) -> bool:
        """Return whether the version exists; version numbers are never reused."""
        return await self._tables.get(TABLE, version.name, version.version) is not None

    async def inventory(self, owner: str) -> AsyncIterator[ProviderAgent]:
        """Yield every version of every agent with at least one version of the owner."""
        agent: list[ProviderAgent] = []
        async for row in every(self._tables, TABLE, Span(" ", partition_before="~")):
            if row.partition.endswith("!counts"):
                continue
            if agent and agent[0].version.name != row.partition:
                for found in _if_of(owner, agent):
                    yield found
                agent = []
            agent.append(_found(row))
        for found in _if_of(owner, agent):
            yield found

    async def definition(self, version: ProviderVersion) -> Mapping[str, Any] | None:
        """Return the spec that the version was created from, as JSON; None when it does not exist."""
        row = await self._tables.get(TABLE, version.name, version.version)
        return json.loads(row.text("definition") or "{}") if row else None

    async def disable(self, name: str, owner: str) -> bool:
        """Return False: agents cannot be disabled here; the registry itself refuses runs of a disabled agent."""
        return False

    async def enable(self, name: str) -> None:
        """Do nothing: agents cannot be disabled here."""

    async def conversation(self, version: ProviderVersion, session_key: str, known: str | None) -> str | None:
        """Return None: no conversation is stored, every run sends its history."""
        return None

    async def forget_conversation(self, conversation: str) -> None:
        """Do nothing: there are no conversations."""

    def open(self, version: ProviderVersion, spec: AgentSpec) -> Agent:
        """Return an agent that answers without a model; does no I/O.

        Raises:
            InvalidInput: The spec names a tool that does not exist (code `unknown_tool`).
        """
        from adapters.providers.offline_client import open_agent  # noqa: PLC0415 - imports the Agent Framework

        tools, context = self._toolbox.pick(spec.tools), self._toolbox.context(spec.context_providers)
        return open_agent(version, spec, tools, self._clock, context)

    async def warm(self, workspace: str, spec: AgentSpec) -> None:
        """Connect to the spec's MCP servers and list their tools."""
        await self.run_tools(spec)

    async def run_tools(self, spec: AgentSpec) -> Sequence[FunctionTool]:
        """Return the tools of the spec's MCP servers, which the app calls.

        Raises:
            Unavailable: One cannot be reached (code `mcp_unavailable`).
            RunFailed: A setting of the app is missing (code `mcp_not_configured`).
        """
        return await self._toolbox.remote(spec.mcp_servers)

    def translate(self, error: Exception) -> AppError:
        """Return the simulated failure, or `internal_error` for anything else."""
        return own_error(error) or unknown_error(error)

    async def aclose(self) -> None:
        """Do nothing: the caller closes the tables."""

    async def _count(self, name: str, what: str) -> int:
        """Increment a counter of the agent and return it: each value is returned once."""
        partition = f"{name}!counts"  # a provider name cannot contain `!`
        while True:
            row = await self._tables.get(TABLE, partition, what)
            number = row.integer("count") + 1 if row else 1
            counted = Row(partition, what, {"count": number}, row.etag if row else "")
            try:
                await self._tables.commit(TABLE, [put(counted)])
            except (RowExists, RowChanged):
                continue  # another process incremented it at the same time
            return number


def _version(row: Row) -> ProviderVersion:
    created_at = row.moment("created_at")
    assert created_at is not None  # noqa: S101 - every row is written with it
    return ProviderVersion(
        row.partition,
        row.key,
        f"offline:{row.partition}:{row.key}",
        created_at,
        owner=row.text("owner"),
        fingerprint=row.text("fingerprint"),
    )


def _found(row: Row) -> ProviderAgent:
    digest = hashlib.sha256(row.text("definition").encode()).hexdigest()
    return ProviderAgent(
        _version(row), row.text("workspace"), row.text("agent"), intact=digest == row.text("fingerprint")
    )


def _if_of(owner: str, agent: list[ProviderAgent]) -> list[ProviderAgent]:
    """Return the agent's versions, oldest first, if at least one is the owner's; else an empty list."""
    ordered = sorted(agent, key=lambda found: int(found.version.version))
    return ordered if any(found.owner == owner for found in agent) else []
