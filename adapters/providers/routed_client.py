"""The chat client of `RoutedProvider`: one model call, tried at one deployment after the other.

Chat middleware makes the tries, outside the middleware that meters calls, so that each try is metered as a call of its
own: reserved before it is made, and priced and recorded under its deployment. A stream moves to another deployment only
while nothing of it has been passed on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import httpx2
from agent_framework import (
    Agent,
    BaseChatClient,
    ChatContext,
    ChatMiddleware,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    ContextProvider,
    FunctionInvocationLayer,
    FunctionTool,
    Message,
    ResponseStream,
)

from adapters.dns_lookup import look_up
from adapters.mcp_http import GuardedTransport
from adapters.providers.connection_warmup import warm
from adapters.providers.failures import causes
from adapters.providers.incomplete_answers import WHOLE_ANSWER
from adapters.providers.model_http import ModelHttp
from adapters.providers.offline_client import OfflineChatClient
from adapters.providers.openai_client import chat_client, connect, options_of
from adapters.providers.openai_failures import translate
from kernel.errors import AppError, InternalError, Unavailable
from lifecycle.registry.providers import AttemptId, ProviderVersion
from lifecycle.specs.spec import AgentSpec, Simulation
from llmops.routing.deployment_quota import read_remaining
from llmops.routing.route import ROUTED, Deployment
from llmops.routing.router import Failure, RouteCall, Router, Try

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from adapters.providers.routed import Reach
    from kernel.clock import Clock

CallNext = Callable[[], Awaitable[None]]
_BYTES_A_TOKEN = 4
_USUAL_OUTPUT = 500
_NOBODY = AttemptId("", 1, "default")
_ELSEWHERE = frozenset({401, 403, 404})
"""Refusals that concern one deployment: another one may have the model, or accept this app's credentials."""


class Deployments:
    """The clients of deployments, one for each; the quotas they report are passed to the router."""

    def __init__(self, router: Router, reach: Reach, clock: Clock) -> None:
        self.router = router
        self.clock = clock
        self._reach = reach
        self._clients: dict[tuple[str, str, str], tuple[Deployment, Any]] = {}
        self._connections: list[AsyncOpenAI] = []

    def client(self, one: Try) -> Any:
        """Return the deployment's chat client, which makes one model call and calls no tools itself.

        Raises:
            ProviderRejected: Its key is missing (code `provider_auth`).
        """
        call, deployment = one.call, one.deployment
        key = (call.workspace, call.route, deployment.name)
        known = self._clients.get(key)
        if known is None or known[0] != deployment:
            # The client of a changed deployment lives as long as the process, because calls may be under way in it.
            known = self._clients[key] = (deployment, self._made(call, deployment))
        return known[1]

    async def warm(self, workspace: str, route: str) -> None:
        """Get a token and open a connection for each deployment of the route.

        Raises:
            AppError: There is no such route, or a deployment's key is missing.
            OpenAIError: A deployment did not answer.
        """
        call = RouteCall(workspace, route, "", 0)
        real = [one for one in await self.router.deployments(workspace, route) if one.provider != "offline"]
        clients = [(self.client(Try(call, one, "")).client, one.model) for one in real]
        await asyncio.gather(*(warm(client, model) for client, model in clients))

    async def aclose(self) -> None:
        """Close the connections."""
        connections, self._connections = self._connections, []
        self._clients = {}
        for connection in connections:
            await connection.close()

    def _made(self, call: RouteCall, one: Deployment) -> Any:
        plain: dict[str, Any] = {"function_invocation_configuration": {"enabled": False}}
        if one.provider == "offline":
            return OfflineChatClient(name=one.name, simulate=Simulation(), clock=self.clock, **plain)
        endpoint = self._reach.endpoint(one)

        def heard(headers: Mapping[str, str]) -> None:
            remaining = read_remaining(headers, self.clock())
            if remaining is not None:
                self.router.reported(call.workspace, call.route, one.name, remaining)

        # The operator configures the app's own endpoint, which may be on this machine.
        guarded = GuardedTransport(allow_private=self._reach.allow_private, resolve=look_up) if one.endpoint else None
        connection = connect(endpoint, self.clock, _Http(self.clock, endpoint.timeout_s, heard, guarded))
        self._connections.append(connection)
        return chat_client(connection, endpoint, one.model, **plain)


class _Http(ModelHttp):
    """The connections to one deployment, which report its remaining quota."""

    def __init__(
        self,
        clock: Clock,
        timeout_s: float,
        heard: Callable[[Mapping[str, str]], None],
        transport: httpx2.AsyncBaseTransport | None,
    ) -> None:
        super().__init__(clock, timeout_s, transport=transport)
        self._heard = heard

    async def send(self, request: httpx2.Request, **kwargs: Any) -> httpx2.Response:
        """Send the request."""
        response = await super().send(request, **kwargs)
        self._heard(response.headers)
        return response


def open_agent(
    deployments: Deployments,
    version: ProviderVersion,
    spec: AgentSpec,
    tools: Sequence[FunctionTool],
    context: Sequence[ContextProvider] = (),
) -> Agent[Any]:
    """Return an agent whose model calls are routed."""
    return Agent(
        _RoutedChatClient(deployments=deployments, middleware=[WHOLE_ANSWER, _Routing(deployments, spec.model)]),
        spec.instructions or None,
        id=version.id,
        name=version.name,
        tools=list(tools),
        context_providers=list(context),
        default_options=cast("Any", options_of(spec)),
    )


class _RawRoutedChatClient(BaseChatClient[Any]):
    """The innermost step: one call, to the deployment that the middleware has chosen."""

    def __init__(self, *, deployments: Deployments, **kwargs: Any) -> None:
        self._deployments = deployments
        super().__init__(**kwargs)

    def _inner_get_response(
        self, *, messages: Sequence[Message], stream: bool, options: Mapping[str, Any], **kwargs: Any
    ) -> Awaitable[ChatResponse] | ResponseStream[ChatResponseUpdate, ChatResponse]:
        one: Try = kwargs.pop(ROUTED)
        if stream:
            return self._build_response_stream(self._pieces(one, messages, options, kwargs))
        return self._whole(one, messages, options, kwargs)

    async def _whole(
        self, one: Try, messages: Sequence[Message], options: Mapping[str, Any], kwargs: Mapping[str, Any]
    ) -> ChatResponse:
        try:
            client = self._deployments.client(one)
            response = await client.get_response(messages, stream=False, options=options, client_kwargs=kwargs)
        except Exception as error:
            one.error = error
            raise
        _done(one, response)
        return response

    async def _pieces(
        self, one: Try, messages: Sequence[Message], options: Mapping[str, Any], kwargs: Mapping[str, Any]
    ) -> AsyncIterator[ChatResponseUpdate]:
        try:
            client = self._deployments.client(one)
            async with client.get_response(messages, stream=True, options=options, client_kwargs=kwargs) as stream:
                async for update in stream:
                    yield update
                response = await stream.get_final_response()
        except Exception as error:
            one.error = error
            raise
        _done(one, response)


class _RoutedChatClient(FunctionInvocationLayer[Any], ChatMiddlewareLayer[Any], _RawRoutedChatClient):
    """The client of a routed agent; a call's telemetry is recorded by its deployment's client."""


class _Routing(ChatMiddleware):
    """Tries deployments until one has answered, or none is left that can take the call now."""

    def __init__(self, deployments: Deployments, route: str) -> None:
        self._deployments = deployments
        self._router = deployments.router
        self._route = route

    async def process(self, context: ChatContext, call_next: CallNext) -> None:
        """Make the call, at as many deployments as necessary."""
        call = self._call(context)
        if context.stream:
            updates = self._streamed(call, context, call_next)
            context.result = ResponseStream(updates, finalizer=ChatResponse.from_updates)
            return
        failures: list[Exception] = []
        while True:
            one = await self._next(call, context, self._denied(failures))
            try:
                await call_next()
            except BaseException as error:
                if not await self._failed(one, error):
                    raise
                failures.append(cast("Exception", error))
                continue
            await self._over(one)
            return

    async def _streamed(
        self, call: RouteCall, context: ChatContext, call_next: CallNext
    ) -> AsyncIterator[ChatResponseUpdate]:
        failures: list[Exception] = []
        while True:
            one = await self._next(call, context, self._denied(failures))
            held: list[
                ChatResponseUpdate
            ] = []  # chunks without content are held back, so that another deployment can still start over
            begun = False
            try:
                await call_next()
                stream = cast("ResponseStream[ChatResponseUpdate, ChatResponse]", context.result)
                async with stream:
                    async for update in stream:
                        if not begun and not update.contents:
                            held.append(update)
                            continue
                        for early in held:
                            yield early
                        held, begun = [], True
                        yield update
            except BaseException as error:
                if not await self._failed(one, error) or begun:
                    raise
                failures.append(cast("Exception", error))
                continue
            for early in held:
                yield early
            await self._over(one)
            return

    def _call(self, context: ChatContext) -> RouteCall:
        attempt = cast("AttemptId", context.kwargs.get("attempt", _NOBODY))
        options = context.options or {}
        texts = [content.text or "" for message in context.messages for content in message.contents]
        size = sum(map(len, texts)) + len(str(options.get("instructions") or ""))
        output = int(options.get("max_tokens") or _USUAL_OUTPUT)
        affinity = attempt.session_id or attempt.run_id
        return RouteCall(attempt.workspace, self._route, affinity, size // _BYTES_A_TOKEN + output)

    async def _next(self, call: RouteCall, context: ChatContext, denied: Exception | None) -> Try:
        """Choose the next try, and pass it to the inner layers.

        Raises:
            AppError: There is none. Where every deployment refused the call permanently, the last refusal.
        """
        one: Try | None = None
        try:
            one = await self._router.choose(call)
        except Unavailable:
            if denied is None or not call.exhausted:
                raise
        if one is None:  # raised here, outside the handler, because an error's meaning is read from its context
            assert denied is not None  # noqa: S101 - else raised above
            raise denied
        context.options = {**(context.options or {}), "model": one.deployment.model}
        cast("dict[str, Any]", context.kwargs)[ROUTED] = one
        return one

    def _denied(self, failures: Sequence[Exception]) -> Exception | None:
        """Return the last failure where all are permanent; None where waiting may help."""
        passing = not failures or any(self._translated(failure).retriable for failure in failures)
        return None if passing else failures[-1]

    async def _failed(self, one: Try, error: BaseException) -> bool:
        """Record the error that ended a try, and return whether another deployment may be tried."""
        if one.error is None:  # not the deployment's failure: a budget, or a cancelled run
            await self._over(one)
            return False
        meaning = self._translated(one.error)
        if isinstance(meaning, InternalError):  # a defect of this app, which says nothing about the deployment
            await self._router.dropped(one)
            return False
        failure = _failure(one.error, meaning)
        if failure is None:  # the deployment has answered: the request is at fault, and would fail everywhere
            one.tokens = 0
            await self._router.answered(one)
            return False
        await self._router.failed(one, failure)
        return isinstance(error, Exception)

    async def _over(self, one: Try) -> None:
        """Record a try without an error; its call may not have been made, where the answer was already known."""
        await (self._router.answered(one) if one.done else self._router.dropped(one))

    def _translated(self, error: BaseException) -> AppError:
        return translate(cast("Exception", error), self._deployments.clock())


def _failure(error: BaseException, meaning: AppError) -> Failure | None:
    """Return the deployment's failure that an error means; None where the request itself is at fault."""
    statuses = (getattr(cause, "status_code", None) for cause in causes(error))
    status = next((status for status in statuses if isinstance(status, int)), None)
    if meaning.code == "provider_throttled":
        return Failure("throttled", meaning.code, meaning.retry_after_s)
    if meaning.retriable:
        return Failure("failed", meaning.code, meaning.retry_after_s)
    spent = status == 429  # an account without quota
    if meaning.code == "provider_auth" or spent or status in _ELSEWHERE:
        return Failure("denied", meaning.code)
    return None


def _done(one: Try, response: ChatResponse[Any]) -> None:
    one.done, one.tokens = True, (response.usage_details or {}).get("total_token_count")
