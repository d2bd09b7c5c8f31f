"""The clients behind `OpenAIProvider`: the SDK's connection pool, and the Agent Framework's chat client on top."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2
from agent_framework import Agent, ChatContext, ChatMiddleware, ChatResponse, FunctionTool, Message
from agent_framework.openai import OpenAIChatCompletionClient
from openai import APITimeoutError, AsyncAzureOpenAI, AsyncOpenAI, Timeout

from adapters.providers.openai import Endpoint
from adapters.providers.openai_failures import content_filtered, named_wait_s, unusable_answer
from kernel.clock import Clock
from lifecycle.providers import ProviderVersion
from lifecycle.specs import AgentSpec

_ENTRA_SCOPE = "https://cognitiveservices.azure.com/.default"
_CONNECT_S = 5.0
_PATIENCE_S = 5.0
_OPENAI_HOSTS = (".openai.com", ".azure.com", ".azure.us", ".azure.cn")


def connect(endpoint: Endpoint, clock: Clock) -> AsyncOpenAI:
    """Return a client for the endpoint with a connection pool of its own; no I/O happens before its first call.

    What the SDK would take from the environment where it is given nothing is given here: a key meant for one endpoint
    must not reach another because a variable happens to be set.
    """
    http = _Http(clock, endpoint.timeout_s)
    token = _token_provider(endpoint)
    key = endpoint.api_key or "none"  # the SDK refuses an empty one, keyless servers ignore it
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
    return client


def open_agent(
    client: AsyncOpenAI, endpoint: Endpoint, version: ProviderVersion, spec: AgentSpec, tools: Sequence[FunctionTool]
) -> Agent[Any]:
    """Return an agent over the shared client of the endpoint."""
    chat_client = OpenAIChatCompletionClient if _is_openai(endpoint) else _CompatibleChatClient
    options = {"temperature": spec.temperature, "top_p": spec.top_p, "max_tokens": spec.max_output_tokens}
    return Agent(
        chat_client(spec.model, async_client=client, middleware=[_WHOLE_ANSWER]),
        spec.instructions or None,
        id=version.id,
        name=version.name,
        tools=list(tools),
        default_options=cast("Any", options),
    )


class _CompatibleChatClient(OpenAIChatCompletionClient[Any]):
    """The framework's client for servers other than OpenAI's, which get the output limit under the name they obey.

    The framework sends `max_completion_tokens`, which OpenAI's reasoning models insist on. Ollama ignores it without a
    word (github.com/ollama/ollama/issues/7125), which would break every budget; `max_tokens` is known to all of them.
    """

    def _prepare_options(self, messages: Sequence[Message], options: Mapping[str, Any]) -> dict[str, Any]:
        request = super()._prepare_options(messages, options)
        if (limit := request.pop("max_completion_tokens", None)) is not None:
            request["max_tokens"] = limit
        return request


class _WholeAnswer(ChatMiddleware):
    """Fails a call whose answer the content filter cut or that broke off, which the framework passes on as an answer.

    As the client's own middleware it is outside any given to `run`, so those have seen the tokens before it raises.
    """

    async def process(self, context: ChatContext, call_next: Callable[[], Awaitable[None]]) -> None:
        if context.stream:
            context.stream_result_hooks.append(self._check)
            await call_next()
        else:
            await call_next()
            if isinstance(context.result, ChatResponse):
                self._check(context.result)

    def _check(self, response: ChatResponse[Any]) -> ChatResponse[Any]:
        if response.finish_reason == "content_filter":
            raise content_filtered()
        if response.finish_reason is None:
            raise unusable_answer()
        return response


_WHOLE_ANSWER = _WholeAnswer()


class _Http(httpx2.AsyncClient):
    """The pool; keeps the SDK from repeating at once what is better left to the queue."""

    def __init__(self, clock: Clock, timeout_s: float) -> None:
        timeout = Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s))
        limits = httpx2.Limits(max_connections=200, max_keepalive_connections=50)
        super().__init__(timeout=timeout, limits=limits, follow_redirects=True)
        self._clock = clock

    async def send(self, request: httpx2.Request, **kwargs: Any) -> httpx2.Response:
        try:
            response = await super().send(request, **kwargs)
        except httpx2.ReadTimeout as error:
            # The model may have answered and been paid for: a repetition must be an attempt that the ledger counts.
            raise APITimeoutError(request) from error
        wait_s = named_wait_s(response.headers, self._clock())
        if wait_s is not None and wait_s > _PATIENCE_S:
            response.headers["x-should-retry"] = "false"  # the SDK obeys it; the queue waits without holding a worker
        return response


def _is_openai(endpoint: Endpoint) -> bool:
    """Return whether OpenAI's models are behind the endpoint; an `azure_endpoint` may be a gateway of any name."""
    return bool(endpoint.azure_endpoint) or (urlsplit(endpoint.base_url or "").hostname or "").endswith(_OPENAI_HOSTS)


def _token_provider(endpoint: Endpoint) -> Callable[[], Awaitable[str]] | None:
    credential = endpoint.credential
    if credential is None or callable(credential):
        return credential
    from azure.identity.aio import get_bearer_token_provider  # noqa: PLC0415 - only for those who use Entra ID

    return get_bearer_token_provider(credential, _ENTRA_SCOPE)
