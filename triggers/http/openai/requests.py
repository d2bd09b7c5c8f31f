"""Requests of OpenAI's protocol: their messages, and which parameters are refused or ignored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from kernel.errors import InvalidInput
from lifecycle.conversations.client_tool_values import ClientCall, ToolResult
from lifecycle.conversations.session import EarlierMessage
from triggers.http.chat_messages import ChatRequest, split
from triggers.http.openai.views import ChatBody, ChatMessage, InputItem, Part, ResponseBody

_TEXT_PARTS = frozenset({"text", "input_text", "output_text", "refusal"})
_NO_FUNCTIONS = "Functions are given as tools."
_FORMAT = "The agent's declaration says what its answers look like (response_format)."

_DECIDED_BY_AGENT = (
    "frequency_penalty",
    "include",
    "logit_bias",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "max_tool_calls",
    "parallel_tool_calls",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "reasoning_effort",
    "seed",
    "service_tier",
    "stop",
    "temperature",
    "top_p",
    "truncation",
    "verbosity",
)
"""Parameters that the agent's declaration determines; those given are listed in `X-Ignored-Parameters`."""


def ignored(body: ChatBody | ResponseBody) -> str:
    """Return the names of the ignored parameters of a request, as a header value."""
    return ", ".join(name for name in _DECIDED_BY_AGENT if name in body.model_fields_set)


def check_chat(body: ChatBody) -> None:
    """Refuse parameters that an agent cannot follow.

    Raises:
        InvalidInput: The request asks for several answers, audio, token probabilities or a format.
    """
    if body.functions or body.function_call not in (None, "none", "auto"):
        raise _refused("functions", _NO_FUNCTIONS, "unsupported_tools")
    if body.n not in (None, 1):
        raise _refused("n", "A request has one answer.")
    if body.audio is not None or set(body.modalities or ()) - {"text"}:
        raise _refused("modalities", "An agent answers with text.")
    if body.logprobs or body.top_logprobs:
        raise _refused("logprobs", "The probabilities of an answer's tokens are not known here.")
    if body.response_format is not None and body.response_format.get("type", "text") != "text":
        raise _refused("response_format", _FORMAT)
    for name in ("prediction", "moderation", "web_search_options"):
        if getattr(body, name) is not None:
            raise _refused(name, "Agents do not support this.")


def check_response(body: ResponseBody) -> None:
    """Refuse parameters that an agent cannot follow.

    Raises:
        InvalidInput: The request asks for a format, a stored prompt, or no storage; or it names both a conversation and
            a
            previous response.
    """
    kind = body.text.get("format", {"type": "text"})
    if not isinstance(kind, Mapping) or kind.get("type", "text") != "text":
        raise _refused("text", _FORMAT)
    if body.top_logprobs:
        raise _refused("top_logprobs", "The probabilities of an answer's tokens are not known here.")
    if body.store is False:
        raise _refused("store", "A run is kept with its session, until the session is erased; leave it out.")
    for name in ("prompt", "context_management", "image", "access_programs", "moderation"):
        if getattr(body, name) is not None:
            raise _refused(name, "Agents do not support this.")
    if body.conversation is not None and body.previous_response_id is not None:
        raise _refused("conversation", "Name a conversation, or a previous response, not both.", "mutually_exclusive")


def chat_words(messages: Sequence[ChatMessage]) -> ChatRequest:
    """Return the question and the conversation before it.

    Raises:
        InvalidInput: The last message is neither the user's nor a tool's, or one contains something other than text.
    """
    history: list[EarlierMessage | ToolResult] = []
    for number, message in enumerate(messages):
        place = f"messages.{number}"
        text = _text(message.content, f"{place}.content")
        if message.role == "function":
            raise _refused(place, _NO_FUNCTIONS, "unsupported_tools")
        if message.role == "tool":
            history.append(ToolResult(_given(message.tool_call_id, f"{place}.tool_call_id"), text))
            continue
        calls: list[ClientCall] = []
        for call in message.tool_calls:
            if call.function is None:
                raise _refused(f"{place}.tool_calls", _NO_FUNCTIONS, "unsupported_tools")
            calls.append(ClientCall(call.id, call.function.name, call.function.arguments))
        history.append(EarlierMessage(message.role, text, tuple(calls)))
    return _words(history, "messages")


def response_words(body: ResponseBody) -> ChatRequest:
    """Return the question and the conversation before it, from the input of a response.

    Raises:
        InvalidInput: The last item is neither the user's nor a tool's, or an item is of a kind that agents do not take.
    """
    history: list[EarlierMessage | ToolResult] = []
    if isinstance(body.input, str):
        history = [EarlierMessage("user", body.input)]
    else:
        for number, item in enumerate(body.input):
            one, before = _item(item, f"input.{number}"), history[-1] if history else None
            asks = isinstance(one, EarlierMessage) and one.tool_calls and not one.text
            if (
                asks
                and isinstance(one, EarlierMessage)
                and isinstance(before, EarlierMessage)
                and before.role == "assistant"
            ):
                history[-1] = replace(before, tool_calls=(*before.tool_calls, *one.tool_calls))  # items of one answer
            else:
                history.append(one)
    if body.instructions:
        history.insert(0, EarlierMessage("system", body.instructions))
    return _words(history, "input")


def _item(item: InputItem, place: str) -> EarlierMessage | ToolResult:
    if item.type == "function_call":
        ident, name = _given(item.call_id, f"{place}.call_id"), _given(item.name, f"{place}.name")
        return EarlierMessage("assistant", "", (ClientCall(ident, name, item.arguments),))
    if item.type == "function_call_output":
        return ToolResult(_given(item.call_id, f"{place}.call_id"), _text(item.output, f"{place}.output"))
    if item.type != "message" or item.role is None:
        code = "unsupported_tools" if "call" in item.type or "tool" in item.type else "unsupported_input"
        raise _refused(place, f"Of items, an agent takes messages and functions; not {item.type[:40]!r}.", code)
    return EarlierMessage(item.role, _text(item.content, f"{place}.content"))


def _words(history: Sequence[EarlierMessage | ToolResult], place: str) -> ChatRequest:
    if (found := split(history)) is None:
        raise _refused(place, "The last message must be the user's, or a tool's: it is what is asked.", "no_question")
    return found


def _given(value: str | None, place: str) -> str:
    if value is None:
        raise InvalidInput("The request is not valid.", fields={place: "is missing"})
    return value


def _text(content: str | Iterable[Part] | None, place: str) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for number, part in enumerate(content):
        if part.type not in _TEXT_PARTS:
            what = f"The agent takes text; not {part.type[:40]!r}."
            raise _refused(f"{place}.{number}", what, "unsupported_content")
        texts.append(part.text or part.refusal or "")
    return "\n".join(texts)


def _refused(place: str, why: str, code: str = "unsupported_parameter") -> InvalidInput:
    return InvalidInput("Agents do not support this request.", code=code, fields={place: why})
