"""The clients behind `FoundryProvider`: one project client, one OpenAI client, and agents that share them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from agent_framework import (
    ChatMiddlewareLayer,
    Content,
    ContextProvider,
    FunctionInvocationLayer,
    FunctionTool,
    UsageDetails,
)
from agent_framework.foundry import FoundryAgent, RawFoundryAgentChatClient
from agent_framework.observability import ChatTelemetryLayer
from azure.ai.projects.aio import AIProjectClient
from azure.core.pipeline.policies import SansIOHTTPPolicy
from openai import AsyncOpenAI, NotFoundError

from adapters.identity import AppIdentity
from adapters.providers.connection_warmup import warm
from adapters.providers.foundry_agents import ProjectAgents
from adapters.providers.incomplete_answers import WHOLE_ANSWER, usage_details
from adapters.providers.model_http import ModelHttp
from lifecycle.runs.hosted_calls import REASON

if TYPE_CHECKING:
    from adapters.providers.foundry import Project
    from kernel.clock import Clock
    from lifecycle.registry.providers import ProviderVersion
    from lifecycle.specs.spec import AgentSpec

_CONNECT_S = 5
_READ_S = 30
_RETRIES = {"retry_total": 1, "retry_connect": 1, "retry_read": 0, "retry_status": 0}
"""Only connection failures are retried: the SDK would also repeat a create after a 5xx, and so create a second
version, and would wait for a Retry-After of any length.
"""


class FoundryClients:
    """The connections to one project."""

    def __init__(self, project: Project, clock: Clock) -> None:
        self._client = _ProjectClient(project, clock)
        self.agents = ProjectAgents(self._client.agents)

    @property
    def openai(self) -> AsyncOpenAI:
        """The client for responses and conversations."""
        return self._client.openai

    def open_agent(
        self,
        version: ProviderVersion,
        spec: AgentSpec,
        tools: Sequence[FunctionTool],
        context: Sequence[ContextProvider] = (),
    ) -> FoundryAgent[Any]:
        """Return an agent pinned to the version, over the shared connections.

        The model is named because the framework would otherwise send an empty one from a conversation's second call on.
        """
        options: dict[str, Any] = {"model": spec.model}
        if spec.max_output_tokens is not None:
            options["max_tokens"] = spec.max_output_tokens
        return FoundryAgent(
            project_client=self._client,
            agent_name=version.name,
            agent_version=version.version,
            id=version.id,
            tools=list(tools) or None,
            context_providers=list(context) or None,
            default_options=cast("Any", options),
            middleware=[WHOLE_ANSWER],
            client_type=_ChatClient,
        )

    async def warm(self, model: str) -> None:
        """Get a token and open a connection in advance."""
        await warm(self.openai, model)

    async def conversation(self, version: ProviderVersion, session_key: str) -> str:
        """Create an empty conversation and return its id."""
        metadata = {"maf-agent": version.name, "maf-session": session_key}
        return (await self.openai.conversations.create(metadata=metadata)).id

    async def forget_conversation(self, conversation: str) -> None:
        """Delete the conversation; one that does not exist is no error."""
        with suppress(NotFoundError):
            await self.openai.conversations.delete(conversation)

    async def aclose(self) -> None:
        """Close both clients."""
        await self.openai.close()
        await self._client.close()


class _ChatClient(
    FunctionInvocationLayer[Any], ChatMiddlewareLayer[Any], ChatTelemetryLayer[Any], RawFoundryAgentChatClient[Any]
):
    """The framework's client with the same layers, which reads usage reports completely.

    It also reports why a call of an MCP server's tool was refused, which the framework drops.
    """

    def _parse_usage_from_openai(self, usage: Any) -> UsageDetails:
        return usage_details(usage)

    def _prepare_content_for_openai(self, role: Any, content: Content, **how: Any) -> dict[str, Any]:
        item = super()._prepare_content_for_openai(role, content, **how)
        reason = content.additional_properties.get(REASON) if content.type == "function_approval_response" else None
        return {**item, "reason": reason} if reason else item


class _ProjectClient(AIProjectClient):
    """The project client with one OpenAI client shared by all agents; its base creates a pool for each agent."""

    def __init__(self, project: Project, clock: Clock) -> None:
        options: dict[str, Any] = {"connection_timeout": _CONNECT_S, "read_timeout": _READ_S, **_RETRIES}
        if project.credential is None:
            options["authentication_policy"] = SansIOHTTPPolicy()  # the SDK requires a credential, which is never used
        super().__init__(project.endpoint, project.credential or AppIdentity(), **options)
        http = ModelHttp(clock, project.timeout_s, stateful=True)
        key: dict[str, Any] = {} if project.credential else {"api_key": "none"}
        self.openai = super().get_openai_client(http_client=http, max_retries=1, **key)
        self.openai.organization = self.openai.project = None  # not the value of an environment variable

    def get_openai_client(self, **_: Any) -> AsyncOpenAI:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the shared client."""
        return self.openai


def _is_news(record: logging.LogRecord) -> bool:
    """Return False for the framework's warning at every call of an agent with function tools, which is expected."""
    return "was provided tools, but tool declarations cannot be sent" not in str(record.msg)


logging.getLogger("agent_framework.foundry").addFilter(_is_news)
