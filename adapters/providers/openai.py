"""The provider for every endpoint with OpenAI's Chat Completions API: OpenAI, Azure OpenAI, Ollama, vLLM and others.

Such an endpoint stores nothing of an agent: instructions, tools and options are sent with every call. So there is
nothing to create, find or delete there, and the "version" is only a name for the spec's fingerprint.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.providers.stateless import StatelessProvider
from kernel.errors import AppError, ProviderRejected
from lifecycle.specs.tools import Toolbox, builtin_tools

if TYPE_CHECKING:
    from agent_framework import Agent
    from azure.core.credentials_async import AsyncTokenCredential
    from openai import AsyncOpenAI

    from kernel.clock import Clock
    from lifecycle.registry.providers import ProviderVersion
    from lifecycle.specs.spec import AgentSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A model endpoint and its credentials; either `base_url` or `azure_endpoint`.

    Attributes:
        base_url: Including the version, e.g. `http://localhost:11434/v1` for Ollama.
        azure_endpoint: An Azure OpenAI resource, e.g. `https://name.openai.azure.com`; models are deployment names.
        api_version: Data-plane version of the Azure endpoint; None for its `v1` API, which has none.
        api_key: The key; None with a credential, or where no key is needed.
        credential: Entra ID instead of a key: a credential of `azure.identity.aio`, or a function that returns a bearer
            token.
        timeout_s: Timeout of an answer, or of the next chunk of a streamed one, in seconds.
        max_retries: Immediate retries of a call after a lost connection, a short throttling or a 5xx.
    """

    base_url: str | None = None
    azure_endpoint: str | None = None
    api_version: str | None = None
    api_key: str | None = None
    credential: AsyncTokenCredential | Callable[[], Awaitable[str]] | None = None
    timeout_s: float = 120.0
    max_retries: int = 1

    def __post_init__(self) -> None:
        if (self.base_url is None) == (self.azure_endpoint is None):
            msg = "an endpoint is either a base_url or an azure_endpoint"
            raise ValueError(msg)
        if self.api_key is not None and self.credential is not None:
            msg = "an endpoint takes an api_key or a credential, not both"
            raise ValueError(msg)

    def __repr__(self) -> str:
        return f"Endpoint({self.base_url or self.azure_endpoint})"


class OpenAIProvider(StatelessProvider):
    """Agents that are only their specs, and call one endpoint over one connection pool.

    Attributes:
        endpoint: The endpoint.
        clock: Returns the current time, for creation times and built-in tools.
        toolbox: The tools that specs may name; None for the built-in ones.
    """

    def __init__(self, endpoint: Endpoint, clock: Clock, toolbox: Toolbox | None = None) -> None:
        super().__init__("openai", clock, toolbox or Toolbox(builtin_tools(clock)))
        self._endpoint = endpoint
        self._client: AsyncOpenAI | None = None
        self._connecting = threading.Lock()

    def open(self, version: ProviderVersion, spec: AgentSpec) -> Agent:
        """Return an agent that calls the endpoint; does no I/O.

        Raises:
            InvalidInput: The spec names a tool that does not exist (code `unknown_tool`).
            ProviderRejected: No endpoint or key is set (code `provider_not_configured`).
        """
        endpoint = self._endpoint
        if not endpoint.api_key and endpoint.credential is None and _asks_for_a_key(endpoint):
            msg = "Set OPENAI_API_KEY, OPENAI_BASE_URL or AZURE_OPENAI_ENDPOINT: no model can be reached without."
            raise ProviderRejected(msg, code="provider_not_configured")
        from adapters.providers import openai_client  # noqa: PLC0415 - imports the Agent Framework and openai

        tools, context = self._toolbox.pick(spec.tools), self._toolbox.context(spec.context_providers)
        with self._connecting:  # agents are opened in threads
            if self._client is None:
                self._client = openai_client.connect(self._endpoint, self._clock)
            client = self._client
        return openai_client.open_agent(client, self._endpoint, version, spec, tools, context)

    async def warm(self, workspace: str, spec: AgentSpec) -> None:
        """Get a token, open a connection, and connect to the spec's MCP servers, in advance.

        Raises:
            AppError: The endpoint, or an MCP server, cannot be reached.
        """
        if (client := self._client) is not None:
            from adapters.providers.connection_warmup import warm  # noqa: PLC0415 - imports openai

            try:
                await warm(client, spec.model)
            except Exception as error:
                raise self.translate(error) from error
        await super().warm(workspace, spec)

    def translate(self, error: Exception) -> AppError:
        """Return the app's error for an exception of the opened agent's `run`; never the raw text."""
        from adapters.providers.openai_failures import translate  # noqa: PLC0415 - imports openai

        return translate(error, self._clock())

    async def aclose(self) -> None:
        """Close the connections; agents opened before cannot be used afterwards."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()


def _asks_for_a_key(endpoint: Endpoint) -> bool:
    """Return whether the endpoint is OpenAI's own, which needs a key."""
    return (endpoint.base_url or "").startswith("https://api.openai.com")
