"""What a model call may take, before it is made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmops.spend.usage import Usage

if TYPE_CHECKING:
    from agent_framework import Content, Message

_PER_MESSAGE = 16
"""Tokens for a message's role and frame: 3-8 in the formats that are published."""


def estimate(
    messages: Sequence[Message], options: Mapping[str, Any], instructions: str, *, held: int, most_output: int
) -> Usage:
    """Return tokens that the call does not exceed, as far as it can be known.

    A token stands for at least one byte of UTF-8 in the byte-pair encodings of today's models, so the bytes of a text
    bound its tokens; they are about four times what it takes. Images, audio and what a provider puts in of its own are
    not seen.

    Args:
        messages: What is sent.
        options: With it, tools among them.
        instructions: The agent's, where the provider puts them in.
        held: Most tokens of the conversation that the provider keeps and sends along.
        most_output: Most tokens that the model may answer.
    """
    sent = sum(_PER_MESSAGE + sum(map(_bytes, message.contents)) for message in messages)
    said = max(len(str(options.get("instructions") or "").encode()), len(instructions.encode()))
    return Usage(input_tokens=sent + said + _tools(options.get("tools") or ()) + held, output_tokens=most_output)


def _bytes(content: Content) -> int:
    texts = (content.text, content.arguments, content.result, content.name)
    return sum(len(_text(text).encode()) for text in texts if text)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _tools(tools: Iterable[Any]) -> int:
    size = 0
    for tool in tools:
        described = tool.to_json_schema_spec() if hasattr(tool, "to_json_schema_spec") else tool
        size += _PER_MESSAGE + len(_text(described).encode())
    return size
