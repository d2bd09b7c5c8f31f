"""How far a run had come when a budget stopped it: what the model had asked of tools, and what they had returned.

The run goes on from there, so that no tool runs twice and no model call is paid for twice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_framework import Message

MOST_BYTES = 262_144
"""What is longer than this is not kept, for it has to fit into the run's row; the run then begins anew."""


def dumped(messages: Sequence[Message], conversation: str | None) -> str | None:
    """Return the messages as JSON; None for none, and where that is too long.

    Args:
        messages: What the next call is to be told beyond the query; in a conversation at the provider, which holds the
            rest, all that it is to be told.
        conversation: That conversation; None where the provider keeps none.
    """
    if not messages:
        return None
    told = [message.to_dict(exclude={"raw_representation"}) for message in messages]
    text = json.dumps({"conversation": conversation, "messages": told}, default=str)
    return text if len(text.encode()) <= MOST_BYTES else None


def loaded(text: str | None, conversation: str | None) -> Sequence[Message]:
    """Return the messages that `dumped` wrote; none where they belong to another conversation, or to none."""
    if text is None:
        return []
    stored = json.loads(text)
    if stored["conversation"] != conversation:
        return []
    from agent_framework import Message  # noqa: PLC0415 - cold start

    return [Message.from_dict(values) for values in stored["messages"]]
