"""How far a run had come when it began to wait: what the model had asked of tools, and what they had returned.

The run goes on from there, so that no tool runs twice and no model call is paid for twice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent_framework import ChatResponse, Message

MOST_BYTES = 262_144
"""What is longer than this is not kept, for it has to fit into the run's row; the run then begins again."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run goes on from.

    Attributes:
        messages: What the next model call is to be given beyond the query; in a conversation at the provider, which
            holds the rest, all that it is to be given.
        held: The model's response whose tool calls are yet to be made; None where there is none.
    """

    messages: Sequence[Message] = ()
    held: ChatResponse[Any] | None = None

    @property
    def begun(self) -> bool:
        """Whether it is any further than the beginning."""
        return bool(self.messages) or self.held is not None


def dumped(messages: Sequence[Message], conversation: str | None, held: ChatResponse[Any] | None = None) -> str | None:
    """Return the progress as JSON; None where there is none, and where that is too long.

    Args:
        messages: See Progress.
        conversation: The conversation at the provider; None where the provider keeps none.
        held: See Progress.
    """
    if not messages and held is None:
        return None
    stored: dict[str, Any] = {"conversation": conversation, "messages": _dicts(messages)}
    if held is not None:
        stored["held"] = {
            "messages": _dicts(held.messages),
            "conversation": held.conversation_id,
            "response": held.response_id,
            "model": held.model,
            "finish_reason": held.finish_reason,
        }
    text = json.dumps(stored, default=str)
    return text if len(text.encode()) <= MOST_BYTES else None


def loaded(text: str | None, conversation: str | None) -> Progress:
    """Return the progress that `dumped` wrote; none where it belongs to another conversation, or to none."""
    if text is None:
        return Progress()
    stored = json.loads(text)
    if stored["conversation"] != conversation:
        return Progress()
    from agent_framework import ChatResponse  # noqa: PLC0415 - cold start

    held = stored.get("held")
    response = held and ChatResponse(
        messages=_messages(held["messages"]),
        conversation_id=held["conversation"],
        response_id=held["response"],
        model=held["model"],
        finish_reason=held["finish_reason"],
    )
    return Progress(_messages(stored["messages"]), response)


def _dicts(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [message.to_dict(exclude={"raw_representation"}) for message in messages]


def _messages(stored: Sequence[dict[str, Any]]) -> list[Message]:
    from agent_framework import Message  # noqa: PLC0415 - cold start

    return [Message.from_dict(values) for values in stored]
