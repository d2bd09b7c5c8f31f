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


def dumped(messages: Sequence[Message]) -> str | None:
    """Return the messages as JSON; None for none, and where that is too long."""
    if not messages:
        return None
    text = json.dumps([message.to_dict(exclude={"raw_representation"}) for message in messages], default=str)
    return text if len(text.encode()) <= MOST_BYTES else None


def loaded(text: str | None) -> Sequence[Message]:
    """Return the messages that `dumped` wrote."""
    if text is None:
        return []
    from agent_framework import Message  # noqa: PLC0415 - cold start

    return [Message.from_dict(values) for values in json.loads(text)]
