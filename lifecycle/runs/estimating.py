"""What a model call may take before it is made, and what it is charged where nobody says what it took."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmops.spend.tokens import count_tokens
from llmops.spend.usage import Usage

if TYPE_CHECKING:
    from agent_framework import Content, Message

_PER_MESSAGE = 16
"""Tokens for a message's role and frame: 3-8 in the formats that are published."""
_BYTES_PER_HELD_TOKEN = 4


@dataclass(frozen=True, slots=True)
class SentInput:
    """What a model call sends.

    Attributes:
        texts: All of it; images, audio and what a provider puts in of its own are not seen.
        frames: How many messages and tools that is.
        held_tokens: Most tokens of the conversation that the provider keeps and sends along.
    """

    texts: tuple[str, ...]
    frames: int
    held_tokens: int = 0

    def at_most(self) -> int:
        """Return tokens that it does not exceed, as far as it can be known.

        A token stands for at least one byte of UTF-8 in the byte-pair encodings of today's models, so the bytes of a
        text bound its tokens; they are about four times what it takes.
        """
        return (
            sum(len(text.encode(errors="surrogatepass")) for text in self.texts)
            + self.frames * _PER_MESSAGE
            + self.held_tokens
        )

    def likely(self, model: str) -> int:
        """Return the tokens that it has as the model counts them, or by the rule of `llmops.spend.tokens`."""
        held = self.held_tokens // _BYTES_PER_HELD_TOKEN
        return min(self.at_most(), count_tokens(self.texts, model) + self.frames * _PER_MESSAGE + held)


def sent(messages: Sequence[Message], options: Mapping[str, Any], instructions: str, *, held: int) -> SentInput:
    """Return what a call sends.

    Args:
        messages: What the model is told.
        options: With it, tools among them.
        instructions: The agent's, where the provider puts them in.
        held: Most tokens of the conversation that the provider keeps and sends along.
    """
    texts = [text for message in messages for content in message.contents for text in texts_of(content)]
    tools = [_described(tool) for tool in options.get("tools") or ()]
    said = max(
        str(options.get("instructions") or ""), instructions, key=lambda text: len(text.encode(errors="surrogatepass"))
    )
    return SentInput((*texts, *tools, said), len(messages) + len(tools), held)


def texts_of(content: Content) -> Iterable[str]:
    """Return what a model reads or writes of a content: text, reasoning, a call with its arguments, a result."""
    values = (content.text, content.arguments, content.result, content.name)
    return [value if isinstance(value, str) else json.dumps(value, default=str) for value in values if value]


def charge_of_answer(bound: Usage, sent: SentInput, answered: Sequence[str], model: str) -> Usage:
    """Return the estimate for a call that was answered without a usage: what was sent and what came, counted."""
    return Usage(
        input_tokens=min(bound.input_tokens, sent.likely(model)), output_tokens=max(1, count_tokens(answered, model))
    )


def charge_of_unfinished(bound: Usage, sent: SentInput, streamed: Sequence[str] | None, model: str) -> Usage:
    """Return the estimate for a call that was cancelled or broke off.

    A streamed one costs what was sent and what had come, counted; never more than its bound. What a model thinks and
    does not send is not seen. Of a call that is not streamed nothing is known but its bound.

    Args:
        bound: The most that the call may take, as it was reserved.
        sent: What it sent.
        streamed: The pieces of the answer that had come; None where the call was not streamed.
        model: The model, whose tokens are counted.
    """
    if streamed is None:
        return bound
    return Usage(
        input_tokens=min(bound.input_tokens, sent.likely(model)),
        output_tokens=min(bound.output_tokens, count_tokens(["".join(streamed)], model)),
    )


def _described(tool: Any) -> str:
    value = tool.to_json_schema_spec() if hasattr(tool, "to_json_schema_spec") else tool
    return value if isinstance(value, str) else json.dumps(value, default=str)
