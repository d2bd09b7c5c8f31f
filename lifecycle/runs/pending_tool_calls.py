"""Tool calls that wait: a model's response is held until all its calls are decided, and then gone on from.

The model's calls are looked at together, before the first is made: they were asked for at once, and each may rest on
the others being made. Where one waits, the attempt ends and keeps the response. The next attempt is given the kept
response in place of a model call, and makes its calls as decided.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from kernel.errors import AppError
from kernel.strict_json import is_list, is_object
from lifecycle.approvals.gate import Allowed, ApprovalGate, ApprovalPending, Pending, Rejected, RequestedCall
from lifecycle.approvals.store import Record
from lifecycle.conversations.run import Run
from lifecycle.runs.metering import CallMeter
from lifecycle.tools.calling import ToolFailed

if TYPE_CHECKING:
    from agent_framework import (
        ChatContext,
        ChatResponse,
        ChatResponseUpdate,
        FunctionInvocationContext,
        FunctionTool,
        ResponseStream,
    )

    from lifecycle.loader.resolver import LiveAgent

log = logging.getLogger(__name__)

CallNext = Callable[[], Awaitable[None]]
_TOO_LONG = "the run has grown too long to wait for an approval"


class PendingToolCalls:
    """Holds the tool calls of one attempt.

    Attributes:
        response: The response that is held; None while none is.
    """

    def __init__(
        self,
        gate: ApprovalGate,
        run: Run,
        live: LiveAgent,
        meter: CallMeter,
        held: ChatResponse[Any] | None,
        progress: Callable[[ChatResponse[Any]], str | None],
    ) -> None:
        """Set whose calls these are.

        Args:
            gate: Finds out which wait.
            run: The run.
            live: The agent.
            meter: Meters the model's calls.
            held: The response that an earlier attempt has held; None for none.
            progress: Returns the run's progress with a held response, None where that is too long to be kept.
        """
        self._gate = gate
        self._run = run
        self._live = live
        self._meter = meter
        self._replayed = held
        self._progress = progress
        self._verdicts: dict[str, Allowed | Rejected] = {}
        self._amended: set[str] = set()
        self.response: ChatResponse[Any] | None = None

    def chat_middleware(self) -> Any:
        """Return middleware for Agent Framework, to stand around what meters the model's calls."""
        from agent_framework import chat_middleware  # noqa: PLC0415 - cold start

        @chat_middleware
        async def hold(context: ChatContext, call_next: CallNext) -> None:
            tools = _tools(context)
            if self._replayed is not None:
                response, self._replayed = self._replayed, None
                self._meter.totals.given = len(context.messages)
                await self._look(response, tools, held=True)
                context.result = _streamed(response) if context.stream else response
                return
            await call_next()
            if context.stream:
                context.result = self._looked_at(context.result, tools)  # pyright: ignore[reportArgumentType]
            else:
                await self._look(context.result, tools)  # pyright: ignore[reportArgumentType] - not a stream

        return hold

    def function_middleware(self) -> Any:
        """Return middleware for Agent Framework, to stand around an approved call alone."""
        from agent_framework import MiddlewareFailure, function_middleware  # noqa: PLC0415 - cold start

        @function_middleware
        async def note(context: FunctionInvocationContext, call_next: CallNext) -> None:
            verdict = self._verdicts.get(str(context.metadata.get("call_id", "")))
            ident = verdict.approval_id if isinstance(verdict, Allowed) else ""
            if not ident:
                await call_next()
                return
            try:
                result = await self._gate.begin(self._run.workspace, ident)
            except AppError as error:
                raise MiddlewareFailure(error.detail) from error
            if result is not None:
                context.result = result
                return
            try:
                await call_next()
            except ToolFailed as error:
                await self._gate.finish(self._run.workspace, ident, f"Error: {error}")
                raise
            await self._gate.finish(self._run.workspace, ident, _text(context.result))

        return note

    async def gate(self, run: Run, call: RequestedCall) -> Allowed | Pending | Rejected:
        """Return what was found of a call when its response was looked at."""
        found = self._verdicts.get(call.call_id)
        if found is None:  # the framework calls what no response has asked for
            judged = await self._gate.judge(run, call, self._live.spec.approvals)
            return Pending(judged.approval.id) if isinstance(judged, Record) else judged
        if isinstance(found, Rejected) or call.call_id in self._amended:
            return found
        # The framework has read what was asked for, and filled in what the parameters are by default.
        return Allowed(call.arguments, found.approval_id)

    async def _look(
        self, response: ChatResponse[Any], tools: Mapping[str, FunctionTool], *, held: bool = False
    ) -> None:
        """Find out of all calls of a response whether they may be made.

        Raises:
            ApprovalPending: Some wait.
        """
        calls = _calls(response, tools, self._live.version.version)
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
            return
        if self._progress(response) is None:
            for record in waiting:
                self._verdicts[record.approval.subject.call_id] = Rejected(_TOO_LONG)
            return
        self.response = response
        raise ApprovalPending(waiting)

    def _looked_at(
        self, stream: ResponseStream[ChatResponseUpdate, ChatResponse[Any]], tools: Mapping[str, FunctionTool]
    ) -> ResponseStream[ChatResponseUpdate, ChatResponse[Any]]:
        from agent_framework import ChatResponse, ResponseStream  # noqa: PLC0415 - cold start

        async def updates() -> AsyncIterator[ChatResponseUpdate]:
            async with stream:
                async for update in stream:
                    yield update
                response = await stream.get_final_response()
            await self._look(response, tools)

        return ResponseStream(updates(), finalizer=ChatResponse.from_updates)


def _tools(context: ChatContext) -> Mapping[str, FunctionTool]:
    """Return the function tools that a call offers, by name; not the caller's own, which the app does not call."""
    from agent_framework import FunctionTool  # noqa: PLC0415 - cold start

    options: Any = context.options
    offered: Sequence[Any] = (options.get("tools") if is_object(options) else None) or ()
    return {tool.name: tool for tool in offered if isinstance(tool, FunctionTool) and not tool.declaration_only}


def _calls(response: ChatResponse[Any], tools: Mapping[str, FunctionTool], version: str) -> list[RequestedCall]:
    """Return the calls of known tools that a response asks for."""
    from lifecycle.tools.framework import terms_of  # noqa: PLC0415 - imports the framework

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


def _text(result: Any) -> str:
    """Return a call's result as text, as the model is given it."""
    if isinstance(result, str):
        return result
    parts = result if is_list(result) else [result]
    return "\n".join(str(getattr(part, "text", None) or "") for part in parts)
