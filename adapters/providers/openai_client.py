"""The clients behind `OpenAIProvider`: the SDK's connection pool, and the Agent Framework's chat client on top."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from agent_framework import Agent, ContextProvider, FunctionTool, Message, UsageDetails
from agent_framework.openai import OpenAIChatCompletionClient
from openai import AsyncAzureOpenAI, AsyncOpenAI

from adapters.providers.incomplete_answers import WHOLE_ANSWER, usage_details
from adapters.providers.model_http import ModelHttp
from adapters.providers.openai_answers import mend

if TYPE_CHECKING:
    from adapters.providers.openai import Endpoint
    from kernel.clock import Clock
    from lifecycle.registry.providers import ProviderVersion
    from lifecycle.specs.output_format import ResponseFormat
    from lifecycle.specs.spec import AgentSpec

_ENTRA_SCOPE = "https://cognitiveservices.azure.com/.default"
_OPENAI_HOSTS = (".openai.com", ".azure.com", ".azure.us", ".azure.cn")


def connect(endpoint: Endpoint, clock: Clock, http: ModelHttp | None = None) -> AsyncOpenAI:
    """Return a client for the endpoint with its own connection pool; no I/O before its first call.

    Every option that the SDK would otherwise read from the environment is set, so that a key meant for one endpoint is
    not sent to another because a variable happens to be set.
    """
    http = http or ModelHttp(clock, endpoint.timeout_s)
    token = _token_provider(endpoint)
    key = endpoint.api_key or "none"  # the SDK rejects an empty one, servers without keys ignore it
    if endpoint.azure_endpoint and endpoint.api_version:
        client: AsyncOpenAI = AsyncAzureOpenAI(
            azure_endpoint=endpoint.azure_endpoint,
            api_version=endpoint.api_version,
            api_key=None if token else key,
            azure_ad_token_provider=token,
            http_client=http,
            max_retries=endpoint.max_retries,
        )
    else:
        client = AsyncOpenAI(
            base_url=endpoint.base_url or f"{(endpoint.azure_endpoint or '').rstrip('/')}/openai/v1",
            api_key=token or key,
            http_client=http,
            max_retries=endpoint.max_retries,
        )
    client.organization = client.project = None
    return mend(client)


def open_agent(
    client: AsyncOpenAI,
    endpoint: Endpoint,
    version: ProviderVersion,
    spec: AgentSpec,
    tools: Sequence[FunctionTool],
    context: Sequence[ContextProvider] = (),
) -> Agent[Any]:
    """Return an agent over the shared client of the endpoint."""
    return Agent(
        chat_client(client, endpoint, spec.model, middleware=[WHOLE_ANSWER]),
        spec.instructions or None,
        id=version.id,
        name=version.name,
        tools=list(tools),
        context_providers=list(context),
        default_options=cast("Any", options_of(spec)),
    )


def chat_client(client: AsyncOpenAI, endpoint: Endpoint, model: str, **how: Any) -> OpenAIChatCompletionClient[Any]:
    """Return the framework's client for a model at the endpoint."""
    kind = _ChatClient if _is_openai(endpoint) else _CompatibleChatClient
    return kind(model, async_client=client, **how)


def options_of(spec: AgentSpec) -> dict[str, Any]:
    """Return the options that a spec sets for every call."""
    options: dict[str, Any] = {
        "temperature": spec.temperature,
        "top_p": spec.top_p,
        "max_tokens": spec.max_output_tokens,
    }
    if spec.reasoning_effort is not None:
        options["reasoning_effort"] = spec.reasoning_effort
    if spec.response_format is not None:
        options["response_format"] = _response_format(spec.response_format)
    return options


class _ChatClient(OpenAIChatCompletionClient[Any]):
    """The framework's client, which reads usage as every provider reports it."""

    def _parse_usage_from_openai(self, usage: Any) -> UsageDetails:
        return usage_details(usage)


class _CompatibleChatClient(_ChatClient):
    """The client for servers other than OpenAI's, which get the output limit under a name they support.

    The framework sends `max_completion_tokens`, which OpenAI's reasoning models require. Ollama ignores it silently
    (github.com/ollama/ollama/issues/7125), which would break every budget; all servers support `max_tokens`.
    """

    def _prepare_options(self, messages: Sequence[Message], options: Mapping[str, Any]) -> dict[str, Any]:
        request = super()._prepare_options(messages, options)
        if (limit := request.pop("max_completion_tokens", None)) is not None:
            request["max_tokens"] = limit
        return request


def _response_format(wanted: ResponseFormat) -> dict[str, Any]:
    """Return the response format for Chat Completions."""
    schema = {"name": wanted.name, "schema": dict(wanted.json_schema), "strict": wanted.strict}
    if wanted.description:
        schema["description"] = wanted.description
    return {"type": "json_schema", "json_schema": schema}


def _is_openai(endpoint: Endpoint) -> bool:
    """Return whether the endpoint serves OpenAI's models; an `azure_endpoint` may be a gateway with any host name."""
    return bool(endpoint.azure_endpoint) or (urlsplit(endpoint.base_url or "").hostname or "").endswith(_OPENAI_HOSTS)


def _token_provider(endpoint: Endpoint) -> Callable[[], Awaitable[str]] | None:
    credential = endpoint.credential
    if credential is None or callable(credential):
        return credential
    from azure.identity.aio import get_bearer_token_provider  # noqa: PLC0415 - only for those who use Entra ID

    return get_bearer_token_provider(credential, _ENTRA_SCOPE)
