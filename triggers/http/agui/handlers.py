"""The handler of the AG-UI protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from kernel.errors import AppError, InvalidInput
from lifecycle.approvals.decisions import DecisionRequest
from lifecycle.approvals.model import MAX_REASON
from lifecycle.conversations.run import RunState
from lifecycle.conversations.session import Said
from lifecycle.conversations.submission import RunRequest
from triggers.http import asking
from triggers.http.agui.views import Message, Resume, RunInput
from triggers.http.asking import LONGEST_ANSWER_S, Asked
from triggers.http.call import Call, Reply

if TYPE_CHECKING:
    from triggers.http.approvals.views import ApprovalView

_PROTOCOL = "1.0"
_NOT_GIVEN = ("tools", "context", "state", "forwarded_props")
_SAYING = frozenset({"user", "assistant", "system", "developer"})
_ANSWER = {
    "type": "object",
    "properties": {"decision": {"type": "string", "enum": ["approve", "reject"]}, "reason": {"type": "string"}},
    "required": ["decision"],
}


async def agui(call: Call) -> Reply:
    body: RunInput = call.body
    asked = await _resumed(call, body.resume) if body.resume else await _asked(call, body)
    ignored = [name for name in _NOT_GIVEN if getattr(body, name)]
    headers = {"Cache-Control": "no-store", "X-Run-Id": asked.run.id, "X-Session-Id": asked.run.session_id}
    if ignored:
        headers["X-Ignored-Parameters"] = ", ".join(ignored)
    return Reply(_events(call, asked, body), 200, headers, "text/event-stream")


async def _asked(call: Call, body: RunInput) -> Asked:
    query, before = _words(body.messages)
    request = RunRequest(query=query, session_id=body.thread_id, stream=call.live)
    key = f"agui:{body.thread_id}:{body.run_id}"
    if not key.isascii():
        raise InvalidInput("threadId and runId are ASCII.", code="invalid_run_id", fields={"/runId": "ASCII"})
    return await asking.ask(call, call.route("name"), request, key=key[:255], before=before)


async def _resumed(call: Call, entries: Sequence[Resume]) -> Asked:
    """Decide what the person has decided, and go on with the run that waited for it."""
    run_id = ""
    for entry in entries:
        payload: Any = entry.payload
        given: Mapping[str, Any] = payload if isinstance(payload, dict) else {"decision": payload}
        approved = entry.status == "resolved" and given.get("decision") in ("approve", True)
        reason = str(given.get("reason") or "")[:MAX_REASON]
        decided = await asking.decide(
            call, entry.interrupt_id, DecisionRequest("approve" if approved else "reject", reason)
        )
        run_id = decided.run_id
    asked = await asking.find(call, run_id)
    if asked.run.agent != call.route("name"):
        raise InvalidInput("The interrupt is another agent's.", code="wrong_agent", fields={"/resume": "another agent"})
    return asked


async def _events(call: Call, asked: Asked, body: RunInput) -> AsyncGenerator[str]:
    """Yield the run as events: started, its text, and how it ended or what it waits for."""
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
        waiting = await asking.waiting_approvals(call, asked.run)
        if asked.run.state is RunState.CANCELLED:
            outcome: Any = core.RunFinishedCancelledOutcome()
        elif waiting:
            outcome = core.RunFinishedInterruptOutcome(interrupts=[_interrupt(core, one) for one in waiting])
        else:
            asking.check_answered(asked)
            outcome = core.RunFinishedSuccessOutcome()
    except AppError as error:
        if begun:
            yield encode(core.TextMessageEndEvent(message_id=message_id))
        yield encode(core.RunErrorEvent(message=error.detail, code=error.code))
        return
    if begun:
        yield encode(core.TextMessageEndEvent(message_id=message_id))
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


def _words(messages: Sequence[Message]) -> tuple[str, tuple[Said, ...]]:
    """Return what is asked now, the user's words after the last answer, and what was said before."""
    said = [(message.role, _text(message, number)) for number, message in enumerate(messages)]
    last = next((n for n in reversed(range(len(said))) if said[n][0] == "assistant"), -1)
    query = "\n\n".join(text for role, text in said[last + 1 :] if role == "user")
    if not query.strip():
        fields = {"/messages": "The last message must be the user's."}
        raise InvalidInput("There is no question.", code="no_question", fields=fields)
    before = [*said[: last + 1], *(one for one in said[last + 1 :] if one[0] != "user")]
    told = ((role, text) for role, text in before if text.strip() and role in _SAYING)
    return query, tuple(Said("assistant" if role == "assistant" else "user", text) for role, text in told)


def _text(message: Message, number: int) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    if any(part.type != "text" for part in message.content):
        place = f"/messages/{number}/content"
        raise InvalidInput("An agent takes text.", code="unsupported_content", fields={place: "text only"})
    return "\n".join(part.text or "" for part in message.content)
