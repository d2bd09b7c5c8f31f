"""The AgentProvider seam: where agents live and models are called, for every provider alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from kernel.errors import AppError
from lifecycle.specs.spec import AgentSpec

if TYPE_CHECKING:
    from agent_framework import FunctionTool, SupportsAgentRun


@dataclass(frozen=True, slots=True)
class VersionRequest:
    """The provider agent a spec calls for.

    Attributes:
        owner: Identifies this registry among others that use the same provider.
        workspace: Workspace the agent belongs to.
        agent: The agent's name in the workspace.
        name: The agent's name at the provider (`lifecycle.specs.spec.provider_name`).
        fingerprint: `lifecycle.specs.spec.fingerprint` of what to find or make; `find` goes by owner, name and
            this alone.
        spec: What to make.
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
        id: The provider's own identifier, opaque to us.
        created_at: When the provider made it, aware UTC.
        provider: Which provider has it, as `AgentSpec.provider` says it; noted by the registry, empty before.
        owner: Whose it is (`Wanted.owner`); empty where the version does not say.
        fingerprint: What it was made from (`Wanted.fingerprint`); empty where the version does not say.
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
    """A version as an inventory finds it at the provider.

    Attributes:
        version: The version; its `owner` and `fingerprint` are what its metadata says.
        workspace: The workspace it was made for; empty where it does not say.
        agent: The agent it was made for; empty where it does not say.
        intact: Whether its definition is still the one that it was made with; False where nobody noted that one.
    """

    version: ProviderVersion
    workspace: str
    agent: str
    intact: bool

    @property
    def owner(self) -> str | None:
        """Whose version it is; None for one that no registry made."""
        return self.version.owner or None


@dataclass(frozen=True, slots=True)
class AttemptId:
    """Which try of which run a model call belongs to; given to `run(client_kwargs={"attempt": …})`.

    Attributes:
        run_id: The run.
        number: 1 for the first attempt of the run.
        workspace: The run's workspace, where routes are looked up.
        session_id: Its conversation; empty for none.
    """

    run_id: str
    number: int
    workspace: str = ""
    session_id: str = ""


class AgentProvider(Protocol):
    """A place where agents are made and run. All errors raised are `AppError`s (see `translate`)."""

    async def find(self, wanted: VersionRequest) -> Sequence[ProviderVersion]:
        """Return the versions of ours that carry the wanted fingerprint and are unchanged, oldest first.

        There is more than one only where two made it at the same time.
        """
        ...

    async def create(self, wanted: VersionRequest) -> ProviderVersion:
        """Make the version; not idempotent by itself, so look with `find` first."""
        ...

    async def delete(self, version: ProviderVersion) -> None:
        """Delete the version, and the agent with its last one; what is already gone, or not ours, is left as it is."""
        ...

    async def exists(self, version: ProviderVersion) -> bool:
        """Return whether the version is still there and still is the one that was made."""
        ...

    def inventory(self, owner: str) -> AsyncIterator[ProviderAgent]:
        """Yield every version of every agent that has at least one version of the owner's; agents one by one.

        Versions of others are among them: a colleague's change in the provider's portal makes one. Nothing is yielded
        where the provider keeps no agents.
        """
        ...

    async def definition(self, version: ProviderVersion) -> Mapping[str, Any] | None:
        """Return what the provider holds of the version, as JSON; None where it holds nothing (of it)."""
        ...

    async def disable(self, name: str, owner: str) -> bool:
        """Have the provider refuse to run the agent, whichever version, and return whether it does.

        Nothing is done, and False returned, where the provider cannot, there is no such agent, or a version of it is
        not the owner's.
        """
        ...

    async def enable(self, name: str) -> None:
        """Have the provider run the agent again; does nothing where it cannot be switched, or is on."""
        ...

    async def conversation(self, version: ProviderVersion, session_key: str, known: str | None) -> str | None:
        """Return the id of the conversation at the provider in which the session's next run takes place.

        A provider that keeps conversations returns what it is given as `known`, without I/O, and makes an empty one
        where nothing is known. The run is then told of it with
        `run(messages, session=agent.get_session(id))`; its messages and the answer become part of the conversation.

        Args:
            version: The version that will run.
            session_key: Names our session in the conversation's metadata, for those who look at it there.
            known: The session's conversation, as an earlier call returned it; None when there is none.

        Returns:
            None where the provider keeps no conversations: the run is given the whole history as messages.
        """
        ...

    async def forget_conversation(self, conversation: str) -> None:
        """Delete the conversation at the provider with all that was said in it; one that is gone is no error."""
        ...

    def open(self, version: ProviderVersion, spec: AgentSpec) -> SupportsAgentRun:
        """Return a Microsoft Agent Framework agent bound to the version; does no I/O and can be shared by runs."""
        ...

    async def warm(self, workspace: str, spec: AgentSpec) -> None:
        """Have ready what the first run of an opened agent would otherwise wait for: a token, connections, MCP servers.

        It calls no model. A run works without it.

        Raises:
            AppError: Something is not ready.
        """
        ...

    async def run_tools(self, spec: AgentSpec) -> Sequence[FunctionTool]:
        """Return tools that a run of the spec is given beside those of the opened agent: of MCP servers.

        Raises:
            Unavailable: One cannot be reached (code `mcp_unavailable`).
            RunFailed: Something is missing in the app's settings (code `mcp_not_configured`).
        """
        ...

    def translate(self, error: Exception) -> AppError:
        """Return the error of our tree that an exception from the opened agent's `run` means.

        Unavailable with code `provider_throttled` or `provider_unavailable`, and `retry_after_s` where the provider
        named one, for throttling, time-outs and outages; Unavailable with code `agent_version_gone` or
        `conversation_gone` for what was deleted at the provider and can be made again; ProviderRejected with code
        `content_filter`, `provider_auth`, `provider_disabled`, `preview_feature_required` or `provider_rejected` for
        what it refuses; an error of ours from inside the run as it is; InternalError for anything else.
        """
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...


Providers = Mapping[str, AgentProvider]
"""The providers by `AgentSpec.provider`."""
