"""The provider for Microsoft Foundry: a spec becomes a version of a prompt agent in a project, run by the service."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from adapters.providers.foundry_versions import definition_of, metadata_of
from kernel.errors import AppError, ProviderRejected
from lifecycle.specs.tools import Toolbox, builtin_tools

if TYPE_CHECKING:
    from agent_framework import FunctionTool
    from agent_framework.foundry import FoundryAgent
    from azure.core.credentials_async import AsyncTokenCredential

    from adapters.providers.foundry_client import FoundryClients
    from adapters.providers.foundry_evaluation import FoundryEvaluation
    from kernel.clock import Clock
    from lifecycle.registry.providers import ProviderAgent, ProviderVersion, VersionRequest
    from lifecycle.specs.spec import AgentSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A Foundry project and how to connect to it.

    Attributes:
        endpoint: For example `https://RESOURCE.services.ai.azure.com/api/projects/PROJECT`.
        credential: The credential; the caller closes it. None only with plain HTTP (an emulator): no emulator gets a
            token,
            and no token is sent unencrypted.
        timeout_s: Timeout of an answer, or of the next chunk of a streamed one, in seconds.
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
    """Prompt agents in one project, over one connection pool, which is created on first use.

    Attributes:
        project: The project; None where the app has none.
        clock: Returns the current time, for built-in tools and `Retry-After`.
        toolbox: The tools that specs may name; None for the built-in ones.
    """

    def __init__(self, project: Project | None, clock: Clock, toolbox: Toolbox | None = None) -> None:
        self._project = project
        self._clock = clock
        self._toolbox = toolbox or Toolbox(builtin_tools(clock))
        self._lock = threading.Lock()  # `open` is called in threads
        self._clients: FoundryClients | None = None

    async def find(self, wanted: VersionRequest) -> Sequence[ProviderVersion]:
        """Return the unchanged versions with the owner and the fingerprint, oldest first."""
        with self._translated():
            clients = await self._ready()
            found = [
                stored.version
                async for stored in clients.agents.versions(wanted.name)
                if stored.made_for(wanted.owner, wanted.fingerprint)
            ]
        return found[::-1]

    async def create(self, wanted: VersionRequest) -> ProviderVersion:
        """Create the version; if the response is lost, `find` finds the version that was created.

        Raises:
            InvalidInput: The spec names a tool that does not exist, or has values that Foundry cannot store.
        """
        definition = definition_of(wanted.spec, self._toolbox.pick(wanted.spec.tools))
        metadata = metadata_of(wanted, definition)
        with self._translated():
            clients = await self._ready()
            return await clients.agents.create(wanted.name, definition, metadata, wanted.spec.description)

    async def delete(self, version: ProviderVersion) -> None:
        """Delete the version, and the agent once it has no version left; versions of other owners are not touched.

        A version that no longer exists, or whose number belongs to another version by now, is no error.
        """
        with self._translated():
            await (await self._ready()).agents.delete(version)

    async def exists(self, version: ProviderVersion) -> bool:
        """Return whether the version exists, was created by this app from the same spec, and is unchanged."""
        with self._translated():
            return await (await self._ready()).agents.get(version) is not None

    async def inventory(self, owner: str) -> AsyncIterator[ProviderAgent]:
        """Yield every version, newest first, of every prompt agent with at least one version of the owner.

        It takes a request or two for each agent of the project with several versions, or whose only version is the
        owner's.
        """
        with self._translated():
            clients = await self._ready()
            async for found in clients.agents.inventory(owner):
                yield found

    async def definition(self, version: ProviderVersion) -> Mapping[str, Any] | None:
        """Return the version's definition, metadata and description; None if it is gone or another owner's."""
        with self._translated():
            stored = await (await self._ready()).agents.get(version)
        if stored is None:
            return None
        parts = {"definition": stored.definition, "metadata": stored.metadata, "description": stored.description}
        return {name: part for name, part in parts.items() if part}

    async def disable(self, name: str, owner: str) -> bool:
        """Disable the agent in the project; return False, without a change, if it has a version of another owner."""
        with self._translated():
            return await (await self._ready()).agents.disable(name, owner)

    async def enable(self, name: str) -> None:
        """Enable the agent in the project."""
        with self._translated():
            await (await self._ready()).agents.enable(name)

    async def conversation(self, version: ProviderVersion, session_key: str, known: str | None) -> str | None:
        """Return the known conversation, without I/O, or create an empty one in the project."""
        if known is not None:
            return known
        with self._translated():
            return await (await self._ready()).conversation(version, session_key)

    async def forget_conversation(self, conversation: str) -> None:
        """Delete the conversation in the project; one that does not exist is no error."""
        with self._translated():
            await (await self._ready()).forget_conversation(conversation)

    def open(self, version: ProviderVersion, spec: AgentSpec) -> FoundryAgent[Any]:
        """Return an agent pinned to the version; does no I/O.

        The version determines model, instructions, sampling, tools and format: changes of these by middleware have no
        effect. Only the limit on output tokens is sent with each call.

        Raises:
            InvalidInput: The spec names a tool that does not exist (code `unknown_tool`).
        """
        tools, context = self._toolbox.pick(spec.tools), self._toolbox.context(spec.context_providers)
        return self._connected().open_agent(version, spec, tools, context)

    async def evaluator(self, model: str, evaluators: Sequence[str]) -> FoundryEvaluation:
        """Return the project's evaluators of these names, which judge with the model deployment."""
        clients = await self._ready()
        from adapters.providers.foundry_evaluation import FoundryEvaluation  # noqa: PLC0415 - imports the SDKs

        return FoundryEvaluation(clients.openai, model, evaluators, self.translate)

    async def warm(self, workspace: str, spec: AgentSpec) -> None:
        """Get a token and open a connection to the project in advance; Foundry itself connects to MCP servers.

        Raises:
            AppError: The project cannot be reached.
        """
        with self._translated():
            await (await self._ready()).warm(spec.model)

    async def run_tools(self, spec: AgentSpec) -> Sequence[FunctionTool]:
        """Return an empty list: Foundry calls MCP servers itself."""
        return ()

    def translate(self, error: Exception) -> AppError:
        """Return the app's error for an exception of the opened agent's `run`; never the raw text."""
        from adapters.providers.foundry_failures import translate  # noqa: PLC0415 - imports openai and azure.core

        return translate(error, self._clock())

    async def aclose(self) -> None:
        """Close the connections; agents opened before cannot be used afterwards."""
        clients, self._clients = self._clients, None
        if clients is not None:
            await clients.aclose()

    async def _ready(self) -> FoundryClients:
        """Return the clients; created in a thread the first time, because importing the SDKs takes a second."""
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
    def _translated(self) -> Iterator[None]:
        """Raise exceptions of the block as the app's errors."""
        try:
            yield
        except AppError:
            raise
        except Exception as error:
            raise self.translate(error) from error
