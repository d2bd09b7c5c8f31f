"""What a request in OpenAI's protocol asks of an agent: its words, and what of it cannot be done or is not needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernel.errors import InvalidInput
from lifecycle.conversations.session import Said
from triggers.http.openai.views import ChatBody, ChatMessage, InputItem, Part, ResponseBody

_TEXT_PARTS = frozenset({"text", "input_text", "output_text", "refusal"})
_OWN_TOOLS = "The agent has tools of its own, which its declaration names; a caller's are not run."
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
"""What a request may say and the agent decides; `X-Ignored-Parameters` of the answer names what it said."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a request says.

    Attributes:
        query: What is asked now: the user's messages after the last answer.
        before: What was said before that; the caller's system prompt is among it, as words of the user's.
    """

    query: str
    before: tuple[Said, ...]


def ignored(body: ChatBody | ResponseBody) -> str:
    """Return the names of what the request says and the agent decides, for a header."""
    return ", ".join(name for name in _DECIDED_BY_AGENT if name in body.model_fields_set)


def check_chat(body: ChatBody) -> None:
    """Refuse what would be another answer than the agent gives.

    Raises:
        InvalidInput: The request is for tools of the caller's, several answers, sound, probabilities or a format.
    """
    _check_tools(body.tools, body.tool_choice)
    if body.functions or body.function_call not in (None, "none", "auto"):
        raise _refused("functions", _OWN_TOOLS, "unsupported_tools")
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
            raise _refused(name, "An agent has no such thing.")


def check_response(body: ResponseBody) -> None:
    """Refuse what would be another answer than the agent gives.

    Raises:
        InvalidInput: The request is for tools of the caller's, a format, a stored prompt, or not to be stored; or it
            names both a conversation and a response to go on from.
    """
    _check_tools(body.tools, body.tool_choice)
    kind = body.text.get("format", {"type": "text"})
    if not isinstance(kind, Mapping) or kind.get("type", "text") != "text":
        raise _refused("text", _FORMAT)
    if body.top_logprobs:
        raise _refused("top_logprobs", "The probabilities of an answer's tokens are not known here.")
    if body.store is False:
        raise _refused("store", "A run is kept with its session, until the session is erased; leave it out.")
    for name in ("prompt", "context_management", "image", "access_programs", "moderation"):
        if getattr(body, name) is not None:
            raise _refused(name, "An agent has no such thing.")
    if body.conversation is not None and body.previous_response_id is not None:
        raise _refused("conversation", "Name a conversation, or a previous response, not both.", "mutually_exclusive")


def chat_words(messages: Sequence[ChatMessage]) -> Words:
    """Return what the messages of a conversation say.

    Raises:
        InvalidInput: The last one is not the user's, or one has what is no text.
    """
    said: list[Said] = []
    for number, message in enumerate(messages):
        if message.role in ("tool", "function"):
            raise _refused(f"messages.{number}", _OWN_TOOLS, "unsupported_tools")
        text = _text(message.content, f"messages.{number}.content")
        said.append(Said("assistant" if message.role == "assistant" else message.role, text))
    return _words(said, "messages")


def response_words(body: ResponseBody) -> Words:
    """Return what the input of a response says.

    Raises:
        InvalidInput: Its last message is not the user's, or an item is no message of text.
    """
    if isinstance(body.input, str):
        said = [Said("user", body.input)]
    else:
        said = [_item(item, number) for number, item in enumerate(body.input)]
    if body.instructions:
        said.insert(0, Said("system", body.instructions))
    return _words(said, "input")


def _item(item: InputItem, number: int) -> Said:
    if item.type != "message" or item.role is None:
        code = "unsupported_tools" if "call" in item.type or "tool" in item.type else "unsupported_input"
        raise _refused(f"input.{number}", f"Of items, an agent takes messages; not {item.type[:40]!r}.", code)
    return Said(item.role, _text(item.content, f"input.{number}.content"))


def _words(said: Sequence[Said], place: str) -> Words:
    last = next((n for n in reversed(range(len(said))) if said[n].role == "assistant"), -1)
    asked = [one.text for one in said[last + 1 :] if one.role == "user"]
    if not asked or said[-1].role != "user":
        raise _refused(place, "The last message must be the user's: it is what is asked.", "no_question")
    instructions = [one for one in said[last + 1 :] if one.role not in ("user", "assistant")]
    before = [*said[: last + 1], *instructions] if last >= 0 else instructions
    told = (one if one.role == "assistant" else Said("user", one.text) for one in before if one.text.strip())
    return Words("\n\n".join(asked), tuple(told))


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


def _check_tools(tools: Sequence[Any], choice: Any) -> None:
    if tools or choice not in (None, "none", "auto"):
        raise _refused("tools", _OWN_TOOLS, "unsupported_tools")


def _refused(place: str, why: str, code: str = "unsupported_parameter") -> InvalidInput:
    return InvalidInput("This cannot be asked of an agent.", code=code, fields={place: why})
