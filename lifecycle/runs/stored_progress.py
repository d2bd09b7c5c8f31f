"""Progress of a run that waits: what the model had asked of tools, and their results.

The run continues from there, so that no tool runs twice and no model call is paid for twice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kernel.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from agent_framework import ChatResponse, Message

MOST_BYTES = 262_144
"""Largest progress in bytes that is stored, as it has to fit into the run's row; with more, the run starts from the
beginning."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The state that a run continues from.

    Attributes:
        messages: Messages of the next model call besides the query; with a provider's conversation, which has the rest,
            all its messages.
        held: The model's response whose tool calls are not made yet; None for none.
    """

    messages: Sequence[Message] = ()
    held: ChatResponse[Any] | None = None

    @property
    def begun(self) -> bool:
        """Whether there is any progress."""
        return bool(self.messages) or self.held is not None


def dumped(messages: Sequence[Message], conversation: str | None, held: ChatResponse[Any] | None = None) -> str | None:
    """Return the progress as JSON; None if there is none, or it is too long.

    Args:
        messages: See `Progress`.
        conversation: The provider's conversation; None if the provider has none.
        held: See `Progress`.
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
    """Return the progress from what `dumped` made; an empty one if it is of another conversation, or None."""
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
