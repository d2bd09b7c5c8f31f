"""Export of a whole session: read in pages, up to a size that fits one response."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from kernel.clock import rfc3339
from kernel.errors import TooLarge
from kernel.journal import Event
from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.run import Run
from lifecycle.conversations.session import Session
from lifecycle.conversations.session_store import ConversationStore, Turn
from llmops.spend.usage import Spend

T = TypeVar("T")

MAX_CHARACTERS = 20_000_000
"""Most characters of text in a transcript; a Functions host's response has at most 100 MB."""
MAX_ITEMS = 50_000
"""Most messages, most runs and most events in a transcript."""
_PAGE = 500
_TOLD_OTHERWISE = "run.delta"  # its text is in the messages too


@dataclass(frozen=True, slots=True)
class Transcript:
    """A session with its messages and runs in order, and its events except for streamed pieces of text."""

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
    """Return the session's transcript; what is added while it is read may be missing.

    Raises:
        TooLarge: It has too many messages, runs, events or characters; read its messages in pages instead.
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
        size += len(run.query) + len(run.answer or "") + len(run.input.context or "")
        check(len(runs))
    async for number, event in _events(conversations, session):
        if event.name != _TOLD_OTHERWISE:
            events.append((number, event))
            check(len(events))
    runs.sort(key=lambda run: (run.number, run.created_at))
    return Transcript(session, turns, runs, events)


def exported(found: Transcript) -> dict[str, Any]:
    """Return the transcript as JSON values, with the names of the API's export."""
    session = found.session
    return {
        "session": {
            "id": session.id,
            "agent": session.agent,
            "user_id": session.user_id,
            "state": session.state.value,
            "end_reason": session.end_reason,
            "runs": session.runs,
            "turns": session.turns,
            "spend": _spend(session.spend),
            "created_at": rfc3339(session.created_at),
            "last_activity": rfc3339(session.last_activity),
            "ended_at": session.ended_at and rfc3339(session.ended_at),
        },
        "messages": [
            {"role": turn.role, "text": turn.text, "run_id": turn.run_id, "at": rfc3339(turn.at)}
            | ({"tool_calls": [asdict(call) for call in turn.tool_calls]} if turn.tool_calls else {})
            for turn in found.turns
        ],
        "runs": [
            {
                "id": run.id,
                "state": run.state.value,
                "query": run.query,
                "answer": run.answer,
                "model": run.model,
                "attempt": run.attempt,
                "error": run.error and {"code": run.error.code, "detail": run.error.detail},
                "spend": _spend(run.spend),
                "created_at": rfc3339(run.created_at),
                "finished_at": run.finished_at and rfc3339(run.finished_at),
            }
            for run in found.runs
        ],
        "events": [
            {"number": number, "name": event.name, "data": dict(event.data), "at": rfc3339(event.at)}
            for number, event in found.events
        ],
    }


def _spend(spend: Spend) -> dict[str, int]:
    return {name: getattr(spend, name) for name in Spend.__slots__}


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
