"""The handler of the AG-UI protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from kernel.errors import AppError, InvalidInput
from lifecycle.approvals.approval import MAX_REASON
from lifecycle.approvals.decisions import DecisionRequest
from lifecycle.conversations.client_tool_values import ClientCall, ClientTool, ClientTools, ToolResult
from lifecycle.conversations.run import RunState
from lifecycle.conversations.run_request import RunRequest
from lifecycle.conversations.session import EarlierMessage
from triggers.http import protocol_runs
from triggers.http.agui.views import Message, Resume, RunInput
from triggers.http.chat_messages import ChatRequest, split
from triggers.http.disconnects import cancel_on_disconnect
from triggers.http.handler_call import Call, Reply
from triggers.http.protocol_runs import LONGEST_ANSWER_S, SubmittedRun

if TYPE_CHECKING:
    from triggers.http.approvals.views import ApprovalView

_PROTOCOL = "1.0"
_NOT_GIVEN = ("context", "state", "forwarded_props")
_SAYING = frozenset({"user", "assistant", "system", "developer"})
_ANSWER = {
    "type": "object",
    "properties": {"decision": {"type": "string", "enum": ["approve", "reject"]}, "reason": {"type": "string"}},
    "required": ["decision"],
}


async def agui(call: Call) -> Reply:
    body: RunInput = call.body
    words = None if body.resume else _words(body.messages)
    given = await _client_tools(call, body, words)
    asked = await _resumed(call, body.resume) if words is None else await _asked(call, body, words, given)
    ignored = [name for name in _NOT_GIVEN if getattr(body, name)]
    if body.tools and given is None:
        ignored.insert(0, "tools")
    headers = {"Cache-Control": "no-store", "X-Run-Id": asked.run.id, "X-Session-Id": asked.run.session_id}
    if ignored:
        headers["X-Ignored-Parameters"] = ", ".join(ignored)
    return Reply(cancel_on_disconnect(asked, _events(call, asked, body)), 200, headers, "text/event-stream")


async def _client_tools(call: Call, body: RunInput, words: ChatRequest | None) -> ClientTools | None:
    """Return the front end's tools, and the results of their calls; None where the agent does not accept any."""
    if words is None or not (body.tools or words.results):
        return None
    if not words.results and not (await protocol_runs.callee(call, call.route("name"))).client_tools:
        return None
    tools = tuple(ClientTool(tool.name, tool.description, tool.parameters) for tool in body.tools)
    return ClientTools(tools, results=words.results)


async def _asked(call: Call, body: RunInput, words: ChatRequest, given: ClientTools | None) -> SubmittedRun:
    request = RunRequest(query=words.query, session_id=body.thread_id, stream=call.live, client_tools=given)
    key = f"agui:{body.thread_id}:{body.run_id}"
    if not key.isascii():
        raise InvalidInput("threadId and runId are ASCII.", code="invalid_run_id", fields={"/runId": "ASCII"})
    return await protocol_runs.ask(call, call.route("name"), request, key=key[:255], before=words.before)


async def _resumed(call: Call, entries: Sequence[Resume]) -> SubmittedRun:
    """Submit the person's decisions, and continue the run that waited for them."""
    run_id = ""
    for entry in entries:
        payload: Any = entry.payload
        given: Mapping[str, Any] = payload if isinstance(payload, dict) else {"decision": payload}
        approved = entry.status == "resolved" and given.get("decision") in ("approve", True)
        reason = str(given.get("reason") or "")[:MAX_REASON]
        decided = await protocol_runs.decide(
            call, entry.interrupt_id, DecisionRequest("approve" if approved else "reject", reason)
        )
        run_id = decided.run_id
    asked = await protocol_runs.find(call, run_id)
    if asked.run.agent != call.route("name"):
        raise InvalidInput("The interrupt is another agent's.", code="wrong_agent", fields={"/resume": "another agent"})
    return asked


async def _events(call: Call, asked: SubmittedRun, body: RunInput) -> AsyncGenerator[str]:
    """Yield the run's events: start, text, calls of the front end's tools, and how it ended or what it waits for."""
    from ag_ui import core  # noqa: PLC0415 - heavy
    from ag_ui.encoder import EventEncoder  # noqa: PLC0415 - heavy

    encode = EventEncoder().encode
    run: dict[str, Any] = {"thread_id": body.thread_id, "run_id": body.run_id}
    message_id, begun = f"{asked.run.id}-answer", False
    yield encode(core.RunStartedEvent(**run, protocol_version=_PROTOCOL))
    try:
        async with aclosing(asked.pieces(LONGEST_ANSWER_S)) as pieces:
            async for piece in pieces:
                if not begun:
                    begun = True
                    yield encode(core.TextMessageStartEvent(message_id=message_id, role="assistant"))
                yield encode(core.TextMessageContentEvent(message_id=message_id, delta=piece))
        waiting = await protocol_runs.waiting_approvals(call, asked.run)
        if asked.run.state is RunState.CANCELLED:
            outcome: Any = core.RunFinishedCancelledOutcome()
        elif waiting:
            outcome = core.RunFinishedInterruptOutcome(interrupts=[_interrupt(core, one) for one in waiting])
        else:
            protocol_runs.check_answered(asked)
            outcome = core.RunFinishedSuccessOutcome()
    except AppError as error:
        if begun:
            yield encode(core.TextMessageEndEvent(message_id=message_id))
        yield encode(core.RunErrorEvent(message=error.detail, code=error.code))
        return
    if begun:
        yield encode(core.TextMessageEndEvent(message_id=message_id))
    for asks in asked.run.tool_calls:
        about: dict[str, Any] = {"tool_call_id": asks.id}
        yield encode(core.ToolCallStartEvent(tool_call_name=asks.name, parent_message_id=message_id, **about))
        yield encode(core.ToolCallArgsEvent(delta=asks.arguments, **about))
        yield encode(core.ToolCallEndEvent(**about))
    yield encode(core.RunFinishedEvent(**run, outcome=outcome))


def _interrupt(core: Any, approval: ApprovalView) -> Any:
    return core.Interrupt(
        id=approval.id,
        reason="tool_call" if approval.tool else "budget",
        message=f"The agent {approval.agent} asks to call {approval.tool or 'a model'}.",
        tool_call_id=approval.call_id or None,
        response_schema=_ANSWER,
        metadata={"tool": approval.tool, "arguments": approval.arguments, "why": approval.why},
    )


def _words(messages: Sequence[Message]) -> ChatRequest:
    """Return the question (the messages after the last answer, or tool results) and the conversation before it.

    Raises:
        InvalidInput: There is no question (`no_question`), or a message is not text (`unsupported_content`).
    """
    history: list[EarlierMessage | ToolResult] = []
    for number, message in enumerate(messages):
        text = _text(message, number)
        if message.role == "tool" and message.tool_call_id is not None:
            history.append(ToolResult(message.tool_call_id, text))
        elif message.role in _SAYING:
            calls = [ClientCall(one.id, one.function.name, one.function.arguments) for one in message.tool_calls]
            history.append(EarlierMessage(message.role, text, tuple(calls)))
    found = split(history) if history else None
    if found is None or not (found.query.strip() or found.results):
        fields = {"/messages": "The last message must be the user's, or a tool's."}
        raise InvalidInput("There is no question.", code="no_question", fields=fields)
    return found


def _text(message: Message, number: int) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    if any(part.type != "text" for part in message.content):
        place = f"/messages/{number}/content"
        raise InvalidInput("An agent takes text.", code="unsupported_content", fields={place: "text only"})
    return "\n".join(part.text or "" for part in message.content)
