"""The OpenAI-compatible API: agents as models, for clients that know OpenAI's protocol."""

from __future__ import annotations

from triggers.http.endpoint import Endpoint

_OPENAI = "triggers.http.openai.errors"

ENDPOINTS = (
    Endpoint(
        "GET",
        "v1/models",
        "openai_models_list",
        "List agents and teams as OpenAI models; at most 500.",
        returns="ModelList",
        problems=_OPENAI,
    ),
    Endpoint(
        "GET",
        "v1/models/{model}",
        "openai_models_get",
        "Get an agent or team as an OpenAI model.",
        returns="Model",
        errors=(404,),
        problems=_OPENAI,
    ),
    Endpoint(
        "POST",
        "v1/chat/completions",
        "openai_chat_completions",
        "Ask an agent with OpenAI's Chat Completions; the header `X-Session-Id` names the session to continue.",
        body="ChatBody",
        returns="ChatCompletion",
        formats=("text/event-stream",),
        errors=(403, 404, 409, 413, 429, 502, 504),
        creates=True,
        waits=True,
        signals=True,
        problems=_OPENAI,
    ),
    Endpoint(
        "POST",
        "v1/conversations",
        "openai_conversations_create",
        "Create a conversation id; its first response starts the session of that id.",
        body="ConversationBody",
        returns="Conversation",
        problems=_OPENAI,
    ),
    Endpoint(
        "POST",
        "v1/responses",
        "openai_responses_create",
        "Ask an agent with OpenAI's Responses: a response is a run, a conversation is a session.",
        body="ResponseBody",
        returns="ResponseView",
        formats=("text/event-stream",),
        errors=(403, 404, 409, 413, 429, 502),
        creates=True,
        waits=True,
        signals=True,
        problems=_OPENAI,
    ),
    Endpoint(
        "GET",
        "v1/responses/{id}",
        "openai_responses_get",
        "Get a response: the current state of its run.",
        returns="ResponseView",
        errors=(404,),
        problems=_OPENAI,
    ),
    Endpoint(
        "POST",
        "v1/responses/{id}/cancel",
        "openai_responses_cancel",
        "Cancel a response's run.",
        returns="ResponseView",
        errors=(404,),
        problems=_OPENAI,
    ),
)
