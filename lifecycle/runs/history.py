"""What a model is told of a session's history: the latest part of it, by the Agent Framework's own compaction.

The whole transcript stays; only what is told is cut, oldest first. No model is asked to sum up what is left out, so
that compaction costs nothing and the same history is always cut the same way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lifecycle.configuration.preferences import preference_text
from lifecycle.conversations.session import Session
from lifecycle.conversations.store import Turn
from lifecycle.runs.client_tools import messages_of

if TYPE_CHECKING:
    from agent_framework import Message

    from lifecycle.specs.spec import AgentSpec

_CHARACTERS_PER_TOKEN = 4  # as the framework's CharacterEstimatorTokenizer has it
_MOST_AROUND = 200
"""More characters than the framework counts of a message besides its text."""


def estimate(text: str) -> int:
    """Return about how many tokens the text is."""
    return max(1, len(text) // _CHARACTERS_PER_TOKEN)


def token_limit(session: Session, spec: AgentSpec, usual: int) -> int:
    """Return the most tokens of the session's history that a model is told: as session, agent or app has it."""
    own = session.limits.max_history_tokens or spec.max_history_tokens
    return own or usual


def preference_messages(session: Session) -> Sequence[Message]:
    """Return what the model is told of the user's preferences: as words of the user's, before all others."""
    text = preference_text(session.preferences) if session.preferences else ""
    if not text:
        return []
    from agent_framework import Message  # noqa: PLC0415 - cold start

    return [Message("user", [text])]


def fits(turns: Sequence[Turn], most_tokens: int) -> bool:
    """Return whether the turns come to at most so many tokens however the framework counts what surrounds them.

    It takes a hundredth of the framework's own count, which most conversations never need. False leaves it open.
    """
    texts = (len(json.dumps(text, ensure_ascii=False)) for turn in turns for text in _texts(turn))  # as it measures
    return sum((length + _MOST_AROUND) // _CHARACTERS_PER_TOKEN for length in texts) <= most_tokens


def _texts(turn: Turn) -> Iterator[str]:
    yield turn.text
    yield from (call.name + call.arguments for call in turn.tool_calls)


async def compacted(turns: Sequence[Turn], most_tokens: int) -> Sequence[Message]:
    """Return the latest turns that come to at most so many tokens as messages; the last one always.

    A message counts with what surrounds it, some 20 tokens.
    """
    if not turns:
        return []
    from agent_framework import (  # noqa: PLC0415 - cold start
        CharacterEstimatorTokenizer,
        Message,
        TruncationStrategy,
        apply_compaction,
    )

    messages = [message for turn in turns for message in messages_of(turn)]
    if fits(turns, most_tokens):
        return messages
    tokenizer = CharacterEstimatorTokenizer()
    strategy = TruncationStrategy(max_n=most_tokens, compact_to=most_tokens, tokenizer=tokenizer)
    told = await apply_compaction(messages, strategy=strategy, tokenizer=tokenizer)
    # The strategy leaves its notes on the messages, which are no business of a provider's.
    return [Message(message.role, message.contents) for message in told]
