"""Base of providers that store nothing of an agent at the endpoint: the agent is its spec, sent with every call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lifecycle.registry.providers import ProviderAgent, ProviderVersion, VersionRequest

if TYPE_CHECKING:
    from agent_framework import FunctionTool

    from kernel.clock import Clock
    from lifecycle.specs.spec import AgentSpec
    from lifecycle.specs.tools import Toolbox


class StatelessProvider:
    """The common part of `AgentProvider`: there is nothing to create, find or delete."""

    def __init__(self, kind: str, clock: Clock, toolbox: Toolbox) -> None:
        """Set the prefix of version ids, the clock, and the tools that specs may name."""
        self._kind = kind
        self._clock = clock
        self._toolbox = toolbox

    async def find(self, wanted: VersionRequest) -> Sequence[ProviderVersion]:
        """Return an empty list: the endpoint stores no agents, so there is none to adopt."""
        return ()

    async def create(self, wanted: VersionRequest) -> ProviderVersion:
        """Return the version named by the spec's fingerprint; without I/O, equal for equal specs."""
        version = wanted.fingerprint[:12]
        return ProviderVersion(
            wanted.name,
            version,
            f"{self._kind}:{wanted.name}:{version}",
            self._clock(),
            owner=wanted.owner,
            fingerprint=wanted.fingerprint,
        )

    async def delete(self, version: ProviderVersion) -> None:
        """Do nothing: the endpoint stores nothing to delete."""

    async def exists(self, version: ProviderVersion) -> bool:
        """Return True: an agent that is only its spec cannot get lost at the endpoint."""
        return True

    async def inventory(self, owner: str) -> AsyncIterator[ProviderAgent]:
        """Yield nothing: the endpoint stores no agents."""
        for nothing in ():
            yield nothing

    async def definition(self, version: ProviderVersion) -> Mapping[str, Any] | None:
        """Return None: the endpoint stores nothing of an agent."""
        return None

    async def disable(self, name: str, owner: str) -> bool:
        """Return False: the endpoint cannot disable an agent."""
        return False

    async def enable(self, name: str) -> None:
        """Do nothing: the endpoint cannot disable an agent."""

    async def conversation(self, version: ProviderVersion, session_key: str, known: str | None) -> str | None:
        """Return None: every run sends its history."""
        return None

    async def forget_conversation(self, conversation: str) -> None:
        """Do nothing: there are no conversations."""

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
