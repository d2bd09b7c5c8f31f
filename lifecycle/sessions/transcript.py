"""A session as a whole, to be taken elsewhere: read in pages, up to a size that one answer can have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kernel.errors import TooLarge
from kernel.journal import Event
from lifecycle.conversations.run import Run
from lifecycle.conversations.session import Session
from lifecycle.conversations.store import ConversationStore, Turn

T = TypeVar("T")

MAX_CHARACTERS = 20_000_000
"""Most characters of text that a transcript holds; a Functions host answers with at most 100 MB."""
MAX_ITEMS = 50_000
"""Most messages, and most runs, and most events that a transcript holds."""
_PAGE = 500
_TOLD_OTHERWISE = "run.delta"  # its text is in the messages


@dataclass(frozen=True, slots=True)
class Transcript:
    """A session with its messages and runs in order, and its events but for pieces of text that are in the messages."""

    session: Session
    turns: Sequence[Turn]
    runs: Sequence[Run]
    events: Sequence[tuple[int, Event]]


async def transcript_of(
    conversations: ConversationStore,
    session: Session,
    *,
    most_items: int = MAX_ITEMS,
    most_characters: int = MAX_CHARACTERS,
) -> Transcript:
    """Return the session's transcript; what comes in while it is read may be in it or not.

    Raises:
        TooLarge: It has more messages, runs or events, or characters of text; read its messages in pages instead.
    """

    def check(items: int) -> None:
        if items > most_items or size > most_characters:
            msg = "The session is too large for one answer; read its messages in pages."
            raise TooLarge(msg, code="export_too_large")

    size = 0
    turns: list[Turn] = []
    runs: list[Run] = []
    events: list[tuple[int, Event]] = []
    async for turn in _turns(conversations, session):
        turns.append(turn)
        size += len(turn.text)
        check(len(turns))
    async for run in conversations.runs(session.workspace, session.id):
        runs.append(run)
        size += len(run.query) + len(run.answer or "") + len(run.context or "")
        check(len(runs))
    async for number, event in _events(conversations, session):
        if event.name != _TOLD_OTHERWISE:
            events.append((number, event))
            check(len(events))
    runs.sort(key=lambda run: (run.number, run.created_at))
    return Transcript(session, turns, runs, events)


async def _turns(conversations: ConversationStore, session: Session) -> AsyncIterator[Turn]:
    first = 0
    while page := await conversations.turns(session.workspace, session.id, first, _PAGE):
        for turn in page:
            yield turn
        first += len(page)


async def _events(conversations: ConversationStore, session: Session) -> AsyncIterator[tuple[int, Event]]:
    first = 0
    while page := await conversations.events(session.workspace, session.id, first, _PAGE):
        for numbered in page:
            yield numbered
        first = page[-1][0] + 1
