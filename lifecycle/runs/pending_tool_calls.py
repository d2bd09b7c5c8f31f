"""Holds a model's response with tool calls until all of them are decided.

All calls of a response, the model's and the provider's, are checked before the first is made: they were asked for
together, and may depend on one another. If one has to wait, the attempt ends and stores the response. The next attempt
uses the stored response in place of a model call, and makes its calls as decided.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from kernel.errors import AppError
from kernel.lazy_dataclass import dataclass
from kernel.strict_json import is_object
from lifecycle.approvals.gate import Allowed, ApprovalGate, ApprovalPending, Pending, Rejected, RequestedCall
from lifecycle.approvals.store import Record
from lifecycle.runs.hosted_calls import HostedCalls, is_request, requests_of
from lifecycle.runs.tool_calls import text_of
from lifecycle.tools.context import CURRENT
from lifecycle.tools.limited_calls import ToolFailed

if TYPE_CHECKING:
    from agent_framework import (
        ChatContext,
        ChatResponse,
        ChatResponseUpdate,
        FunctionInvocationContext,
        FunctionTool,
        Message,
        ResponseStream,
    )

    from lifecycle.conversations.run import Run
    from lifecycle.loader.agent_resolver import LiveAgent
    from lifecycle.runs.call_metering import CallMeter
    from lifecycle.runs.stored_progress import Progress

log = logging.getLogger(__name__)

CallNext = Callable[[], Awaitable[None]]
_TOO_LONG = "the run has grown too long to wait for an approval"


class PendingToolCalls:
    """The tool calls of one attempt that may have to wait.

    Attributes:
        response: The response that is held; None if none is.
        hosted: The hosted calls.
    """

    def __init__(
        self,
        gate: ApprovalGate,
        run: Run,
        live: LiveAgent,
        meter: CallMeter,
        before: Progress,
        progress: Callable[[ChatResponse[Any]], str | None],
        hosted: HostedCalls,
    ) -> None:
        """Set the collaborators.

        Args:
            gate: Decides which calls wait.
            run: The run.
            live: The agent.
            meter: Meters the model's calls.
            before: Progress of an earlier attempt; its held response is used in place of the first model call.
            progress: Returns the run's progress with a held response; None if too long to store.
            hosted: The hosted calls.
        """
        self._gate = gate
        self._run = run
        self._live = live
        self._meter = meter
        self._replayed = before.held
        self._given_before = before.held is not None and bool(before.messages)
        self._anew = run.attempt > 1 and not before.begun
        self._progress = progress
        self._verdicts: dict[str, Allowed | Rejected] = {}
        self._amended: set[str] = set()
        self._asked: ChatResponse[Any] | None = None
        self._answer: Message | None = None
        self.hosted = hosted
        self.response: ChatResponse[Any] | None = None

    def left(
        self, messages: Sequence[Message], held: ChatResponse[Any] | None
    ) -> tuple[Sequence[Message], ChatResponse[Any] | None]:
        """Return what another attempt needs to continue in the provider's conversation: messages and the held response.

        The framework would reject an answer to an earlier attempt's request as unknown, so the requests are kept where
        their answers may not have arrived.

        Args:
            messages: The messages of the last call.
            held: The response that is held; None if none is.
        """
        if held is not None:
            return [], held
        return [message for message in messages if message is not self._answer], self._asked

    def chat_middleware(self) -> Any:
        """Return chat middleware for Agent Framework; it goes outside the metering middleware."""
        from lifecycle.tools.middleware import chat_middleware  # noqa: PLC0415 - cold start

        @chat_middleware
        async def hold(context: ChatContext, call_next: CallNext) -> None:
            tools = _tools(context)
            if self._replayed is not None:
                response, self._replayed = self._replayed, None
                self._meter.totals.given = len(context.messages)
                await self._decide_all(response, tools, held=True)
                context.result = _streamed(response) if context.stream else response
                looked_at = True
            else:
                await self.hosted.check()
                if self._answer is not None:  # sent with the results of the response's other calls
                    context.messages = [*context.messages, self._answer]
                await call_next()
                looked_at = False
            turn = _Turn(context, call_next, tools)
            if context.stream:
                context.result = self._checked_stream(turn, context.result, looked_at=looked_at)  # pyright: ignore[reportArgumentType]
            else:
                context.result = await self._continued(turn, context.result, looked_at=looked_at)  # pyright: ignore[reportArgumentType]

        return hold

    def answers_middleware(self) -> Any:
        """Return chat middleware for Agent Framework; it goes next to the model, and stores what will be sent."""
        from lifecycle.tools.middleware import chat_middleware  # noqa: PLC0415 - cold start

        @chat_middleware
        async def answer(context: ChatContext, call_next: CallNext) -> None:
            if self._answer is not None and any(message is self._answer for message in context.messages):
                await self.hosted.begin(self._verdicts, self._answer)
            await call_next()

        return answer

    def function_middleware(self) -> Any:
        """Return function middleware for Agent Framework; it goes directly around an approved call."""
        from agent_framework import MiddlewareFailure  # noqa: PLC0415 - cold start

        from lifecycle.tools.middleware import function_middleware  # noqa: PLC0415 - cold start

        @function_middleware
        async def note(context: FunctionInvocationContext, call_next: CallNext) -> None:
            verdict = self._verdicts.get(str(context.metadata.get("call_id", "")))
            ident = verdict.approval_id if isinstance(verdict, Allowed) else ""
            if not ident:
                await call_next()
                return
            try:
                begun = await self._gate.begin(self._run.workspace, ident)
            except AppError as error:
                raise MiddlewareFailure(error.detail) from error
            if begun.result is not None:
                context.result = begun.result
                return
            if (current := CURRENT.get()) is not None:  # reset by the code that set it
                CURRENT.set(replace(current, repeated=begun.repeated or self._anew))
            try:
                await call_next()
            except ToolFailed as error:
                await self._gate.finish(self._run.workspace, ident, f"Error: {error}")
                raise
            await self._gate.finish(self._run.workspace, ident, text_of(context.result))

        return note

    async def gate(self, run: Run, call: RequestedCall) -> Allowed | Pending | Rejected:
        """Return the decision about a call, made when its response was checked."""
        found = self._verdicts.get(call.call_id)
        if found is None:  # a call that no response has asked for
            judged = await self._gate.judge(run, call, self._live.spec.approvals)
            return Pending(judged.approval.id) if isinstance(judged, Record) else judged
        if isinstance(found, Rejected) or call.call_id in self._amended:
            return found
        # The framework has parsed the arguments and filled in the parameters' defaults.
        return Allowed(call.arguments, found.approval_id)

    async def _decide_all(
        self, response: ChatResponse[Any], tools: Mapping[str, FunctionTool], *, held: bool = False
    ) -> None:
        """Decide about all calls of a response.

        Raises:
            ApprovalPending: Some have to wait.
        """
        self._asked = self._answer = None
        await self.hosted.note(response, self._meter.latest)
        calls = [*_calls(response, tools, self._live.version.version), *self.hosted.requested(response)]
        waiting: list[Record] = []
        for call in calls:
            judged = await self._gate.judge(self._run, call, self._live.spec.approvals, held=held)
            if isinstance(judged, Record):
                waiting.append(judged)
            else:
                self._verdicts[call.call_id] = judged
                if isinstance(judged, Allowed) and judged.arguments != call.arguments:
                    self._amended.add(call.call_id)
        if not waiting:
            self._settle(response)
            return
        if self._progress(response) is None:
            for record in waiting:
                self._verdicts[record.approval.subject.call_id] = Rejected(_TOO_LONG)
            self._settle(response)
            return
        self.response = response
        raise ApprovalPending(waiting)

    def _settle(self, response: ChatResponse[Any]) -> None:
        """Have the decisions about hosted calls sent with the next model call."""
        if not requests_of(response):
            return
        self._answer = self.hosted.answer(response, self._verdicts, self._meter.latest)
        self._asked = _requests_only(response)

    def _continues_at_once(self, turn: _Turn, response: ChatResponse[Any]) -> bool:
        """Return whether to call the model again at once, only to send decisions about hosted calls."""
        if self._answer is None or _calls(response, turn.tools, ""):
            return False
        # The provider's conversation has everything except the answer, and results left by an earlier attempt.
        messages: list[Message] = []
        if not response.conversation_id:
            messages = [*turn.context.messages, *response.messages]
        elif self._given_before:
            messages = list(turn.context.messages)
        self._given_before = False
        turn.context.messages = [*messages, self._answer]
        return True

    async def _continued(self, turn: _Turn, response: ChatResponse[Any], *, looked_at: bool) -> ChatResponse[Any]:
        if not looked_at:
            await self._decide_all(response, turn.tools)
        while self._continues_at_once(turn, response):
            await turn.call_next()
            response = cast("ChatResponse[Any]", turn.context.result)
            await self._decide_all(response, turn.tools)
        return _without_requests(response)

    def _checked_stream(
        self, turn: _Turn, stream: ResponseStream[ChatResponseUpdate, ChatResponse[Any]], *, looked_at: bool
    ) -> ResponseStream[ChatResponseUpdate, ChatResponse[Any]]:
        from agent_framework import ChatResponse, ResponseStream  # noqa: PLC0415 - cold start

        async def updates() -> AsyncIterator[ChatResponseUpdate]:
            inner, known = stream, looked_at
            while True:
                async with inner:
                    async for update in inner:
                        yield _without_request(update)
                    response = await inner.get_final_response()
                if not known:
                    await self._decide_all(response, turn.tools)
                if not self._continues_at_once(turn, response):
                    return
                await turn.call_next()
                inner, known = cast("Any", turn.context.result), False

        return ResponseStream(updates(), finalizer=ChatResponse.from_updates)


@dataclass(frozen=True, slots=True)
class _Turn:
    """A model call that can be repeated."""

    context: ChatContext
    call_next: CallNext
    tools: Mapping[str, FunctionTool]


def _tools(context: ChatContext) -> Mapping[str, FunctionTool]:
    """Return the function tools that a call offers, by name; without client tools, which the app does not call."""
    from agent_framework import FunctionTool  # noqa: PLC0415 - cold start

    options: Any = context.options
    offered: Sequence[Any] = (options.get("tools") if is_object(options) else None) or ()
    return {tool.name: tool for tool in offered if isinstance(tool, FunctionTool) and not tool.declaration_only}


def _calls(response: ChatResponse[Any], tools: Mapping[str, FunctionTool], version: str) -> list[RequestedCall]:
    """Return the calls of the app's tools that a response asks for."""
    from lifecycle.tools.function_tools import terms_of  # noqa: PLC0415 - imports the framework

    return [
        RequestedCall(
            str(content.name),
            str(content.call_id),
            dict(content.parse_arguments() or {}),
            terms_of(tools[str(content.name)]).approval,
            version,
        )
        for message in response.messages
        for content in message.contents
        if content.type == "function_call" and content.name in tools and content.call_id
    ]


def _requests_only(response: ChatResponse[Any]) -> ChatResponse[Any]:
    """Return the response with only the provider's requests."""
    from agent_framework import ChatResponse, Message  # noqa: PLC0415 - cold start

    return ChatResponse(
        messages=[Message("assistant", requests_of(response))],
        conversation_id=response.conversation_id,
        response_id=response.response_id,
        model=response.model,
        finish_reason=cast("Any", response.finish_reason),
    )


def _without_requests(response: ChatResponse[Any]) -> ChatResponse[Any]:
    """Remove the provider's requests: the framework would end the run with them."""
    for message in response.messages:
        message.contents = [content for content in message.contents if not is_request(content)]
    return response


def _without_request(update: ChatResponseUpdate) -> ChatResponseUpdate:
    if not any(map(is_request, update.contents)):
        return update
    shown = copy.copy(update)  # the originals are needed to assemble the whole response
    shown.contents = [content for content in update.contents if not is_request(content)]
    return shown


def _streamed(response: ChatResponse[Any]) -> ResponseStream[ChatResponseUpdate, ChatResponse[Any]]:
    from agent_framework import ChatResponse, ChatResponseUpdate, ResponseStream  # noqa: PLC0415 - cold start

    async def updates() -> AsyncIterator[ChatResponseUpdate]:
        for message in response.messages:
            yield ChatResponseUpdate(
                contents=message.contents,
                role=cast("Any", message.role),
                message_id=message.message_id,
                response_id=response.response_id,
                conversation_id=response.conversation_id,
                model=response.model,
                finish_reason=cast("Any", response.finish_reason),
            )

    return ResponseStream(updates(), finalizer=ChatResponse.from_updates)
