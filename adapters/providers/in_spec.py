"""What providers have in common whose agents live in their specs: nothing of an agent is kept where its model is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kernel.clock import Clock
from lifecycle.registry.providers import ProviderAgent, ProviderVersion, VersionRequest
from lifecycle.specs.spec import AgentSpec
from lifecycle.specs.tools import Toolbox

if TYPE_CHECKING:
    from agent_framework import FunctionTool


class InSpec:
    """The part of `AgentProvider` that is the same for them: there is nothing to make, find or delete."""

    def __init__(self, kind: str, clock: Clock, toolbox: Toolbox) -> None:
        """Set what the ids of versions begin with, what tells when they were made, and what specs may name."""
        self._kind = kind
        self._clock = clock
        self._toolbox = toolbox

    async def find(self, wanted: VersionRequest) -> Sequence[ProviderVersion]:
        """Return none: the endpoint keeps no agents, so there is never one to adopt."""
        return ()

    async def create(self, wanted: VersionRequest) -> ProviderVersion:
        """Return the version that the spec's fingerprint names; no I/O, and the same for the same spec."""
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
        """Do nothing: there is nothing at the endpoint to delete."""

    async def exists(self, version: ProviderVersion) -> bool:
        """Return True: what lives in its spec cannot get lost at the endpoint."""
        return True

    async def inventory(self, owner: str) -> AsyncIterator[ProviderAgent]:
        """Yield nothing: the endpoint keeps no agents."""
        for nothing in ():
            yield nothing

    async def definition(self, version: ProviderVersion) -> Mapping[str, Any] | None:
        """Return None: the endpoint holds nothing of an agent."""
        return None

    async def disable(self, name: str, owner: str) -> bool:
        """Return False: the endpoint has no switch for what it does not know."""
        return False

    async def enable(self, name: str) -> None:
        """Do nothing: there is no switch."""

    async def conversation(self, version: ProviderVersion, session_key: str, known: str | None) -> str | None:
        """Return None: every run is given its history."""
        return None

    async def forget_conversation(self, conversation: str) -> None:
        """Do nothing: there are no conversations."""

    async def warm(self, workspace: str, spec: AgentSpec) -> None:
        """Connect to the spec's MCP servers and read what they offer."""
        await self.run_tools(spec)

    async def run_tools(self, spec: AgentSpec) -> Sequence[FunctionTool]:
        """Return the tools of the spec's MCP servers, which the app calls.

        Raises:
            Unavailable: One cannot be reached (code `mcp_unavailable`).
            RunFailed: Something is missing in the app's settings (code `mcp_not_configured`).
        """
        return await self._toolbox.remote(spec.mcp_servers)
