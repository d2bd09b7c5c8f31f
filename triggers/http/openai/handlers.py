"""Handlers of the OpenAI-compatible API."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from kernel.errors import Conflict, InvalidInput, NotFound
from kernel.ids import new_id
from lifecycle.conversations.run_request import RunRequest
from lifecycle.conversations.session import EarlierMessage
from triggers.http import protocol_runs
from triggers.http.chat_messages import ChatRequest
from triggers.http.disconnects import cancel_on_disconnect
from triggers.http.handler_call import Call, Reply
from triggers.http.openai.answers import (
    chat_chunks,
    chat_completion,
    no_response,
    response_events,
    response_view,
    run_of_response,
)
from triggers.http.openai.requests import chat_words, check_chat, check_response, ignored, response_words
from triggers.http.openai.tools import check_results, client_tools, session_of
from triggers.http.openai.views import (
    ChatBody,
    Conversation,
    ConversationBody,
    Model,
    ModelList,
    ResponseBody,
)
from triggers.http.protocol_runs import LONGEST_ANSWER_S, SubmittedRun
from triggers.http.runs.handlers import wait_of

if TYPE_CHECKING:
    from triggers.http.protocol_runs import Callee

_STREAM = "text/event-stream"
_NOT_CACHED = {"Cache-Control": "no-store"}


def _model(found: Callee) -> Model:
    return Model(id=found.name, created=int(found.created_at.timestamp()))


async def openai_models_list(call: Call) -> Reply:
    found, _ = await protocol_runs.callees(call)
    return Reply(ModelList(data=[_model(one) for one in found]))


async def openai_models_get(call: Call) -> Reply:
    return Reply(_model(await protocol_runs.callee(call, call.route("model"))))


def _within(call: Call) -> int:
    prefer = call.header("prefer")
    return wait_of(prefer) if prefer else LONGEST_ANSWER_S


def _request(call: Call, body: ChatBody | ResponseBody, words: ChatRequest, session: str | None) -> RunRequest:
    return RunRequest(
        query=words.query,
        session_id=session,
        user_id=body.who,
        metadata=body.metadata,
        stream=body.stream and call.live,
        client_tools=client_tools(body.tools, body.tool_choice, words.results),
    )


async def _ask(
    call: Call, body: ChatBody | ResponseBody, request: RunRequest, words: ChatRequest, names: Mapping[str, str]
) -> SubmittedRun:
    """Submit the run; errors name the parameters of this protocol, `names` by those of a run."""
    key, before = call.header("idempotency-key"), words.before
    try:
        return await protocol_runs.ask(call, body.model, request, key=key, before=before)
    except InvalidInput as error:
        named = {"/user_id": "/user" if body.user else "/safety_identifier", **names}
        error.fields = {named.get(at, at): why for at, why in error.fields.items()}
        raise


def _headers(asked: SubmittedRun, body: ChatBody | ResponseBody) -> dict[str, str]:
    found = {"X-Run-Id": asked.run.id, "X-Session-Id": asked.run.session_id}
    names = ignored(body)
    return found | ({"X-Ignored-Parameters": names} if names else {})


async def _begun(pieces: AsyncGenerator[str]) -> AsyncGenerator[str]:
    """Wait for the first chunk, so that an earlier failure can still be sent as an error status."""
    first = await anext(pieces, None)

    async def rest() -> AsyncGenerator[str]:
        async with aclosing(pieces):
            if first is not None:
                yield first
            async for piece in pieces:
                yield piece

    return rest()


async def openai_chat_completions(call: Call) -> Reply:
    body: ChatBody = call.body
    check_chat(body)
    words = chat_words(body.messages)
    session = call.header("x-session-id") or await session_of(call, words, body.who)
    check_results(words, session, "messages")
    request = _request(call, body, words, session)
    asked = await _ask(call, body, request, words, {"/query": "/messages", "/session_id": "/X-Session-Id"})
    headers = _headers(asked, body)
    if not body.stream:
        await asked.wait(_within(call))
        await _given_up(asked)
        protocol_runs.check_answered(asked)
        return Reply(chat_completion(asked.run), headers=headers)
    pieces = await _begun(asked.pieces(_within(call)))
    if asked.settled and asked.run.answer is None:
        await _given_up(asked)
        protocol_runs.check_answered(asked)
    stream = cancel_on_disconnect(asked, chat_chunks(asked, pieces, with_usage=body.stream_options.include_usage))
    return Reply(stream, headers=headers | _NOT_CACHED, mimetype=_STREAM)


async def _given_up(asked: SubmittedRun) -> None:
    """Cancel a run that waits for a budget: its caller gets an error, so nobody would read the answer."""
    if asked.settled and not asked.run.finished and asked.run.error and asked.run.error.code == "budget_exceeded":
        refused = asked.run.error
        await asked.cancel()
        raise protocol_runs.Blocked(refused.detail, code=refused.code)


async def openai_conversations_create(call: Call) -> Reply:
    body: ConversationBody = call.body
    now = int(call.services.core.clock().timestamp())
    return Reply(Conversation(id=f"conv_{new_id().replace('-', '')}", created_at=now, metadata=body.metadata))


async def openai_responses_create(call: Call) -> Reply:
    body: ResponseBody = call.body
    check_response(body)
    words = response_words(body)
    session, before = await _goes_on_from(call, body)
    session = session or (None if before else await session_of(call, words, body.who))
    words = replace(words, before=(*before, *words.before))
    check_results(words, session, "input")
    request = _request(call, body, words, session)
    asked = await _ask(call, body, request, words, {"/query": "/input", "/session_id": "/conversation"})
    headers = _headers(asked, body)
    previous = body.previous_response_id
    if body.stream:
        pieces = asked.pieces(_within(call))
        events = response_events(asked, pieces, background=body.background, previous=previous)
        stream = events if body.background else cancel_on_disconnect(asked, events)
        return Reply(stream, headers=headers | _NOT_CACHED, mimetype=_STREAM)
    if not body.background:
        await asked.wait(_within(call))
        await _given_up(asked)
    return Reply(response_view(asked, background=body.background, previous=previous), headers=headers)


async def _goes_on_from(call: Call, body: ResponseBody) -> tuple[str | None, tuple[EarlierMessage, ...]]:
    """Return the session to continue, and the messages a new one begins with when continuing from an earlier answer."""
    if body.previous_response_id is None:
        return body.conversation_id, ()
    try:
        earlier = (await protocol_runs.find(call, run_of_response(body.previous_response_id))).run
    except NotFound:
        raise no_response(body.previous_response_id) from None
    if not earlier.finished:
        msg = "The previous response is not finished; a conversation takes the next question at once."
        raise Conflict(msg, code="response_not_finished")
    return await protocol_runs.branch(call, earlier, body.who)


async def openai_responses_get(call: Call) -> Reply:
    return Reply(response_view(await _response(call)))


async def openai_responses_cancel(call: Call) -> Reply:
    asked = await _response(call)
    await asked.cancel()
    return Reply(response_view(asked))


async def _response(call: Call) -> SubmittedRun:
    ident = call.route("id")
    try:
        return await protocol_runs.find(call, run_of_response(ident))
    except NotFound:
        raise no_response(ident) from None
