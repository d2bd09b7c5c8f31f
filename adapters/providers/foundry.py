"""The provider for Microsoft Foundry: a spec is a version of a prompt agent in a project, run there by its service."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from adapters.providers.foundry_versions import definition_of, metadata_of
from kernel.clock import Clock
from kernel.errors import AppError, ProviderRejected
from lifecycle.registry.providers import ProviderAgent, ProviderVersion, VersionRequest
from lifecycle.specs.spec import AgentSpec
from lifecycle.specs.tools import Toolbox, builtin_tools

if TYPE_CHECKING:
    from agent_framework import FunctionTool
    from agent_framework.foundry import FoundryAgent
    from azure.core.credentials_async import AsyncTokenCredential

    from adapters.providers.foundry_client import FoundryClients
    from adapters.providers.foundry_evaluation import FoundryEvaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A Foundry project and the way in.

    Attributes:
        endpoint: Like `https://RESOURCE.services.ai.azure.com/api/projects/PROJECT`.
        credential: Whose tokens to show; stays the caller's to close. None where none are asked for, which is only
            allowed over plain HTTP: no emulator gets a token, and no token goes over the wire in clear.
        timeout_s: Longest wait for an answer of a model, or for the next piece of a streamed one, in seconds.
    """

    endpoint: str
    credential: AsyncTokenCredential | None = None
    timeout_s: float = 120.0

    def __post_init__(self) -> None:
        if urlsplit(self.endpoint).scheme != ("https" if self.credential else "http"):
            msg = "a project is reached over https with a credential, or over http without one"
            raise ValueError(msg)

    def __repr__(self) -> str:
        return f"Project({self.endpoint})"


class FoundryProvider:
    """Prompt agents in one project, through one pool of connections, which is made with the first use.

    Attributes:
        project: Where the agents are; None where the app has no project.
        clock: Tells the time to the built-in tools and to what reads a `Retry-After`.
        toolbox: What specs may name; None for the built-in tools.
    """

    def __init__(self, project: Project | None, clock: Clock, toolbox: Toolbox | None = None) -> None:
        self._project = project
        self._clock = clock
        self._toolbox = toolbox or Toolbox(builtin_tools(clock))
        self._lock = threading.Lock()  # `open` is called in threads
        self._clients: FoundryClients | None = None

    async def find(self, wanted: VersionRequest) -> Sequence[ProviderVersion]:
        """Return the versions that carry the owner and the fingerprint and are unchanged, oldest first."""
        with self._told():
            clients = await self._ready()
            found = [
                stored.version
                async for stored in clients.agents.versions(wanted.name)
                if stored.made_for(wanted.owner, wanted.fingerprint)
            ]
        return found[::-1]

    async def create(self, wanted: VersionRequest) -> ProviderVersion:
        """Make the version; an answer that gets lost on its way here may leave one that only `find` finds.

        Raises:
            InvalidInput: The spec names a tool the app does not have, or says what Foundry cannot keep.
        """
        definition = definition_of(wanted.spec, self._toolbox.pick(wanted.spec.tools))
        metadata = metadata_of(wanted, definition)
        with self._told():
            clients = await self._ready()
            return await clients.agents.create(wanted.name, definition, metadata, wanted.spec.description)

    async def delete(self, version: ProviderVersion) -> None:
        """Delete the version, and the agent once it has no version of anybody's; what is not ours stays.

        A version that is gone, or whose number is by now another's, is no error.
        """
        with self._told():
            await (await self._ready()).agents.delete(version)

    async def exists(self, version: ProviderVersion) -> bool:
        """Return whether the version is still there, made by us from the same spec, and unchanged."""
        with self._told():
            return await (await self._ready()).agents.get(version) is not None

    async def inventory(self, owner: str) -> AsyncIterator[ProviderAgent]:
        """Yield every version, newest first, of every prompt agent that has at least one version of the owner's.

        Takes a request or two for each agent of the project that has more than one version or whose only one is ours.
        """
        with self._told():
            clients = await self._ready()
            async for found in clients.agents.inventory(owner):
                yield found

    async def definition(self, version: ProviderVersion) -> Mapping[str, Any] | None:
        """Return the version's definition, metadata and description; None when it is gone or not ours."""
        with self._told():
            stored = await (await self._ready()).agents.get(version)
        if stored is None:
            return None
        parts = {"definition": stored.definition, "metadata": stored.metadata, "description": stored.description}
        return {name: part for name, part in parts.items() if part}

    async def disable(self, name: str, owner: str) -> bool:
        """Have the project refuse to run the agent; one with a version of somebody else stays on for them."""
        with self._told():
            return await (await self._ready()).agents.disable(name, owner)

    async def enable(self, name: str) -> None:
        """Have the project run the agent again."""
        with self._told():
            await (await self._ready()).agents.enable(name)

    async def conversation(self, version: ProviderVersion, session_key: str, known: str | None) -> str | None:
        """Return the known conversation, without I/O, or make an empty one in the project."""
        if known is not None:
            return known
        with self._told():
            return await (await self._ready()).conversation(version, session_key)

    async def forget_conversation(self, conversation: str) -> None:
        """Delete the conversation in the project; one that is gone is no error."""
        with self._told():
            await (await self._ready()).forget_conversation(conversation)

    def open(self, version: ProviderVersion, spec: AgentSpec) -> FoundryAgent[Any]:
        """Return an agent pinned to the version; does no I/O.

        The version says which model answers, with which instructions, sampling, tools and format: what a middleware
        changes of these has no effect, only the most tokens of an answer are a matter of each call.

        Raises:
            InvalidInput: The spec names a tool the app does not have (code `unknown_tool`).
        """
        tools, context = self._toolbox.pick(spec.tools), self._toolbox.context(spec.context_providers)
        return self._connected().open_agent(version, spec, tools, context)

    async def evaluator(self, model: str, evaluators: Sequence[str]) -> FoundryEvaluation:
        """Return the project's evaluators of these names, which use the model deployment to judge."""
        clients = await self._ready()
        from adapters.providers.foundry_evaluation import FoundryEvaluation  # noqa: PLC0415 - imports the SDKs

        return FoundryEvaluation(clients.openai, model, evaluators, self.translate)

    async def warm(self, workspace: str, spec: AgentSpec) -> None:
        """Have a token and a connection to the project ready; Foundry itself connects to MCP servers.

        Raises:
            AppError: The project cannot be reached.
        """
        with self._told():
            await (await self._ready()).warm(spec.model)

    async def run_tools(self, spec: AgentSpec) -> Sequence[FunctionTool]:
        """Return none: Foundry calls MCP servers itself."""
        return ()

    def translate(self, error: Exception) -> AppError:
        """Return the error of our tree that an exception from the opened agent's `run` means; never the raw text."""
        from adapters.providers.foundry_failures import translate  # noqa: PLC0415 - imports openai and azure.core

        return translate(error, self._clock())

    async def aclose(self) -> None:
        """Close the connections; agents opened before are of no use after it."""
        clients, self._clients = self._clients, None
        if clients is not None:
            await clients.aclose()

    async def _ready(self) -> FoundryClients:
        """Return the clients; the first time in a thread, for the SDKs take a second to import."""
        return self._clients or await asyncio.to_thread(self._connected)

    def _connected(self) -> FoundryClients:
        if self._project is None:
            msg = "This app has no Foundry project; set FOUNDRY_PROJECT_ENDPOINT."
            raise ProviderRejected(msg, code="provider_not_configured")
        from adapters.providers.foundry_client import FoundryClients  # noqa: PLC0415 - imports the SDKs

        with self._lock:
            if self._clients is None:
                self._clients = FoundryClients(self._project, self._clock)
            return self._clients

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Raise what goes wrong within as an error of ours."""
        try:
            yield
        except AppError:
            raise
        except Exception as error:
            raise self.translate(error) from error
