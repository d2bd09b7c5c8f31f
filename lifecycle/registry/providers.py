"""The interface of model providers: where agents are created and models are called."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from kernel.lazy_dataclass import dataclass
from lifecycle.specs.spec import AgentSpec

if TYPE_CHECKING:
    from agent_framework import FunctionTool, SupportsAgentRun

    from kernel.errors import AppError


@dataclass(frozen=True, slots=True)
class VersionRequest:
    """The version of an agent that should exist at the provider.

    Attributes:
        owner: Mark of this registry, among others that use the same provider.
        workspace: Workspace the agent belongs to.
        agent: The agent's name in the workspace.
        name: The agent's name at the provider (`lifecycle.specs.spec.provider_name`).
        fingerprint: `lifecycle.specs.spec.fingerprint` of the spec; `find` compares only owner, name and this.
        spec: The spec to create it from.
    """

    owner: str
    workspace: str
    agent: str
    name: str
    fingerprint: str
    spec: AgentSpec


@dataclass(frozen=True, slots=True)
class ProviderVersion:
    """An immutable agent version at the provider.

    Attributes:
        name: The agent's name at the provider.
        version: The provider's version label, e.g. `1`.
        id: The provider's opaque id.
        created_at: When the provider created it, aware UTC.
        provider: Name of its provider, as in `AgentSpec.provider`; set by the registry, empty before.
        owner: Mark of the registry that made it (`VersionRequest.owner`); empty if it has none.
        fingerprint: Fingerprint it was made from (`VersionRequest.fingerprint`); empty if it has none.
    """

    name: str
    version: str
    id: str
    created_at: datetime
    provider: str = ""
    owner: str = ""
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class ProviderAgent:
    """A version in an inventory of a provider.

    Attributes:
        version: The version; `owner` and `fingerprint` are from its metadata.
        workspace: The workspace it was made for; empty if its metadata has none.
        agent: The agent it was made for; empty if its metadata has none.
        intact: Whether its definition is unchanged since it was made; False if that is unknown.
    """

    version: ProviderVersion
    workspace: str
    agent: str
    intact: bool

    @property
    def owner(self) -> str | None:
        """Mark of the registry that made the version; None if no registry did."""
        return self.version.owner or None


@dataclass(frozen=True, slots=True)
class AttemptId:
    """Identifies a run's attempt in a model call; passed as `run(client_kwargs={"attempt": …})`.

    Attributes:
        run_id: The run.
        number: Number of the attempt, from 1.
        workspace: The run's workspace, in which routes are looked up.
        session_id: The run's session; empty for none.
    """

    run_id: str
    number: int
    workspace: str = ""
    session_id: str = ""


class AgentProvider(Protocol):
    """A provider where agents are created and run. Its methods raise only `AppError`s (see `translate`)."""

    async def find(self, wanted: VersionRequest) -> Sequence[ProviderVersion]:
        """Return our unchanged versions with the wanted fingerprint, oldest first.

        There are several only if they were created concurrently.
        """
        ...

    async def create(self, wanted: VersionRequest) -> ProviderVersion:
        """Create the version. Not idempotent: call `find` first."""
        ...

    async def delete(self, version: ProviderVersion) -> None:
        """Delete the version, and with its last version the agent. Does nothing if it is gone or not ours."""
        ...

    async def exists(self, version: ProviderVersion) -> bool:
        """Return whether the version still exists unchanged."""
        ...

    def inventory(self, owner: str) -> AsyncIterator[ProviderAgent]:
        """Yield all versions of every agent that has at least one version of the owner's, agent by agent.

        This includes versions made by others, e.g. in the provider's portal. Yields nothing where the provider stores
        no agents.
        """
        ...

    async def definition(self, version: ProviderVersion) -> Mapping[str, Any] | None:
        """Return the provider's definition of the version as JSON; None where it has none."""
        ...

    async def disable(self, name: str, owner: str) -> bool:
        """Have the provider refuse to run the agent in any version, and return whether it does.

        Does nothing and returns False if the provider cannot do that, the agent does not exist, or a version of it is
        not the owner's.
        """
        ...

    async def enable(self, name: str) -> None:
        """Have the provider run the agent again; does nothing if that cannot be switched, or the agent is enabled."""
        ...

    async def conversation(self, version: ProviderVersion, session_key: str, known: str | None) -> str | None:
        """Return the id of the provider's conversation for the session's next run.

        A provider with conversations returns `known` without I/O, or creates an empty conversation if that is None. The
        run then gets it by `run(messages, session=agent.get_session(id))`; its messages and the answer become part of
        the conversation.

        Args:
            version: The version that will run.
            session_key: The session's key, stored in the conversation's metadata for people who look there.
            known: The id that an earlier call returned for the session; None if there is none.

        Returns:
            None if the provider has no conversations: runs then get the whole history as messages.
        """
        ...

    async def forget_conversation(self, conversation: str) -> None:
        """Delete the conversation and its content at the provider; does nothing if it is gone."""
        ...

    def open(self, version: ProviderVersion, spec: AgentSpec) -> SupportsAgentRun:
        """Return a Microsoft Agent Framework agent bound to the version; no I/O. It can be shared by runs."""
        ...

    async def warm(self, workspace: str, spec: AgentSpec) -> None:
        """Prepare what an agent's first run would otherwise wait for: a token, connections, MCP servers.

        Calls no model. Runs also work without it.

        Raises:
            AppError: Something could not be prepared.
        """
        ...

    async def run_tools(self, spec: AgentSpec) -> Sequence[FunctionTool]:
        """Return the MCP servers' tools for a run, in addition to the opened agent's tools.

        Raises:
            Unavailable: A server cannot be reached (code `mcp_unavailable`).
            RunFailed: A setting of the app is missing (code `mcp_not_configured`).
        """
        ...

    def translate(self, error: Exception) -> AppError:
        """Return the `AppError` for an exception from the opened agent's `run`.

        Unavailable with code `provider_throttled` or `provider_unavailable` for throttling, time-outs and outages, with
        `retry_after_s` if the provider gave one; Unavailable with code `agent_version_gone` or `conversation_gone` for
        what was deleted at the provider and can be created again; ProviderRejected with code `content_filter`,
        `provider_auth`, `provider_disabled`, `preview_feature_required` or `provider_rejected` for refusals; an
        `AppError` from inside the run unchanged; InternalError for anything else.
        """
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


Providers = Mapping[str, AgentProvider]
"""The providers by name (`AgentSpec.provider`)."""
