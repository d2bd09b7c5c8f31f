"""The part of a session's history that is sent to a model: the latest messages, by Agent Framework's compaction.

The stored history stays; only what is sent is cut, oldest first. Nothing is summarized, so compaction costs nothing and
is deterministic.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lifecycle.configuration.preferences import preference_text
from lifecycle.runs.client_tools import messages_of

if TYPE_CHECKING:
    from agent_framework import Message

    from lifecycle.conversations.session import Session
    from lifecycle.conversations.session_store import Turn
    from lifecycle.specs.spec import AgentSpec


_CHARACTERS_PER_TOKEN = 4  # as in the framework's CharacterEstimatorTokenizer
_MOST_AROUND = 200
"""Upper bound of the characters that the framework counts for a message besides its text."""


def estimate(text: str) -> int:
    """Return the estimated number of tokens of the text."""
    return max(1, len(text) // _CHARACTERS_PER_TOKEN)


def token_limit(session: Session, spec: AgentSpec, usual: int) -> int:
    """Return the most tokens of history to send to a model: the session's limit, else the agent's, else `usual`."""
    own = session.limits.max_history_tokens or spec.max_history_tokens
    return own or usual


def preference_messages(session: Session) -> Sequence[Message]:
    """Return the user's preferences as a user message, to go before all others."""
    text = preference_text(session.preferences) if session.preferences else ""
    if not text:
        return []
    from agent_framework import Message  # noqa: PLC0415 - cold start

    return [Message("user", [text])]


def fits(turns: Sequence[Turn], most_tokens: int) -> bool:
    """Return whether the messages certainly have at most so many tokens by the framework's count.

    This takes a hundredth of the time of the framework's count, which most sessions then do not need. False means
    unknown.
    """
    texts = (
        len(json.dumps(text, ensure_ascii=False)) for turn in turns for text in _texts(turn)
    )  # as the framework measures
    return sum((length + _MOST_AROUND) // _CHARACTERS_PER_TOKEN for length in texts) <= most_tokens


def _texts(turn: Turn) -> Iterator[str]:
    yield turn.text
    yield from (call.name + call.arguments for call in turn.tool_calls)


async def compacted(turns: Sequence[Turn], most_tokens: int) -> Sequence[Message]:
    """Return the latest messages with at most `most_tokens` tokens; always at least the last one.

    Each message counts some 20 tokens more than its text.
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
    latest = await apply_compaction(messages, strategy=strategy, tokenizer=tokenizer)
    # The strategy leaves annotations on the messages, which must not be sent to a provider.
    return [Message(message.role, message.contents) for message in latest]
