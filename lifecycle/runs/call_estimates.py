"""Estimates of model calls: an upper bound before the call, and a charge where no usage is reported."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kernel.lazy_dataclass import dataclass
from llmops.spend.tokens import count_tokens
from llmops.spend.usage import Usage

if TYPE_CHECKING:
    from agent_framework import Content, Message

_PER_MESSAGE = 16
"""Tokens for a message's role and framing; 3-8 in published formats."""
_BYTES_PER_HELD_TOKEN = 4


@dataclass(frozen=True, slots=True)
class SentInput:
    """The input of a model call.

    Attributes:
        texts: All its texts, without images, audio and what a provider adds.
        frames: Number of messages and tools.
        held_tokens: Upper bound of the tokens of the provider's conversation that are sent with it.
    """

    texts: tuple[str, ...]
    frames: int
    held_tokens: int = 0

    def at_most(self) -> int:
        """Return an upper bound of its tokens, as far as known.

        A token is at least one byte of UTF-8 in the byte-pair encodings of today's models, so a text has at most as
        many tokens as bytes; that is about four times the real number.
        """
        return (
            sum(len(text.encode(errors="surrogatepass")) for text in self.texts)
            + self.frames * _PER_MESSAGE
            + self.held_tokens
        )

    def likely(self, model: str) -> int:
        """Return its tokens by the model's tokenizer, or by the rule of `llmops.spend.tokens`."""
        held = self.held_tokens // _BYTES_PER_HELD_TOKEN
        return min(self.at_most(), count_tokens(self.texts, model) + self.frames * _PER_MESSAGE + held)


def sent(messages: Sequence[Message], options: Mapping[str, Any], instructions: str, *, held: int) -> SentInput:
    """Return the input of a call.

    Args:
        messages: The messages.
        options: The call's options, including tools.
        instructions: The agent's instructions, if the provider adds them.
        held: Upper bound of the tokens of the provider's conversation that are sent with it.
    """
    texts = [text for message in messages for content in message.contents for text in texts_of(content)]
    tools = [_described(tool) for tool in options.get("tools") or ()]
    longest_instructions = max(
        str(options.get("instructions") or ""), instructions, key=lambda text: len(text.encode(errors="surrogatepass"))
    )
    return SentInput((*texts, *tools, longest_instructions), len(messages) + len(tools), held)


def texts_of(content: Content) -> Iterable[str]:
    """Return the texts of a content: text, reasoning, a call with its arguments, a result."""
    values = (content.text, content.arguments, content.result, content.name)
    return [value if isinstance(value, str) else json.dumps(value, default=str) for value in values if value]


def charge_of_answer(bound: Usage, sent: SentInput, answered: Sequence[str], model: str) -> Usage:
    """Return the estimated usage of a call that was answered without a usage: counted input and output."""
    return Usage(
        input_tokens=min(bound.input_tokens, sent.likely(model)),
        output_tokens=max(1, count_tokens(["".join(answered)], model)),
    )


def charge_of_unfinished(bound: Usage, sent: SentInput, streamed: Sequence[str] | None, model: str) -> Usage:
    """Return the estimated usage of a call that was cancelled or interrupted.

    For a streamed call, the counted input and the output received, at most its bound; hidden reasoning is not included.
    For another call, its bound.

    Args:
        bound: Upper bound of the call's usage, as reserved.
        sent: The call's input.
        streamed: The pieces of the answer received; None if not streamed.
        model: The model, for counting tokens.
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
