"""Rows of sessions, runs, messages and events in table `conversations`.

Rows of partition `{workspace}!{session}`:
`session` · `run!{run}` · `turn!{seq}` · `event!{seq}`, the events of one transaction under the last one's number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from kernel.codec import JsonCodec
from kernel.journal import Event
from kernel.large_texts import Owner
from kernel.tables import Row
from lifecycle.conversations.client_tool_values import ClientCall
from lifecycle.conversations.long_texts import PROPERTY, LongTexts, is_long
from lifecycle.conversations.run import Run
from lifecycle.conversations.session import Session
from lifecycle.conversations.session_change import StoredConversation, Turn

TABLE = "conversations"
_SESSION = JsonCodec(Session)
_RUN = JsonCodec(Run)
_CALLS: JsonCodec[tuple[ClientCall, ...]] = JsonCodec(tuple[ClientCall, ...])
_EVENTS: JsonCodec[tuple[Event, ...]] = JsonCodec(tuple[Event, ...])


def partition_of(workspace: str, session_id: str) -> str:
    """Return the partition of a session."""
    return f"{workspace}!{session_id}"


class SessionRows:
    """Converts values to rows and back."""

    def __init__(self, texts: LongTexts) -> None:
        self._texts = texts

    async def erase_texts(self, workspace: str, session_id: str) -> int:
        """Delete the session's long texts and return how many. Call it once none can be added any more."""
        return await self._texts.erase(workspace, session_id)

    async def erase_texts_of(self, run: Run) -> None:
        """Delete the long texts that only the run has."""
        await self._texts.erase_run(run)

    async def stored(self, session: Row | None, run: Row | None) -> StoredConversation:
        """Return a session and one of its runs as read."""
        return StoredConversation(
            _SESSION.load(session.text("session")) if session else None,
            await self.run(run) if run else None,
            session.etag if session else "",
            run.etag if run else "",
        )

    def session_row(self, session: Session, etag: str) -> Row:
        """Return the row of a session."""
        values = {"session": _SESSION.dump(session), "state": session.state.value}
        return Row(partition_of(session.workspace, session.id), "session", values, etag)

    async def run(self, row: Row, *, texts: bool = True) -> Run:
        """Return the run of a row, with its whole long texts, or only their beginnings."""
        run, where = _RUN.load(row.text("run")), row.text(PROPERTY)
        return await self._texts.whole(run, where) if texts else self._texts.begun(run, where)

    async def run_row(self, run: Run, etag: str) -> Row:
        """Return the row of a run, after storing its long texts."""
        kept, where = await self._texts.packed(run)
        values = {"run": _RUN.dump(kept), "state": run.state.value, PROPERTY: where}
        return Row(partition_of(run.workspace, run.session_id), f"run!{run.id}", values, etag)

    async def turns(self, workspace: str, session_id: str, rows: Sequence[Row]) -> Sequence[Turn]:
        """Return the messages of rows."""
        return await asyncio.gather(*(self._turn(workspace, session_id, row) for row in rows))

    async def turn_row(self, session: Session, number: int, turn: Turn) -> Row:
        """Return the row of a message, after storing its text if it is long."""
        # The same kind as the run's own text, so that the answer is stored once.
        kind = "answer" if turn.role == "assistant" else "query"
        text, where = await self._texts.packed_text(Owner(session.workspace, session.id, turn.run_id), kind, turn.text)
        values = {"role": turn.role, "text": text, "run_id": turn.run_id, "at": turn.at, PROPERTY: where}
        if turn.author:
            values["author"] = turn.author
        if turn.tool_calls:
            values["calls"] = _CALLS.dump(turn.tool_calls)
        return Row(partition_of(session.workspace, session.id), f"turn!{number:010d}", values)

    async def events(self, workspace: str, session_id: str, row: Row) -> Sequence[tuple[int, Event]]:
        """Return the events of a row with their numbers."""
        owner = Owner(workspace, session_id, "")
        text = await self._texts.whole_text(owner, row.text("events"), row.text(PROPERTY))
        return list(enumerate(_EVENTS.load(text), row.integer("first")))

    async def event_row(self, session: Session, first: int, events: Sequence[Event]) -> Row:
        """Return one row with all events of a transaction: another row would cost more than the bytes do."""
        owner = Owner(session.workspace, session.id, "")
        text, where = await self._texts.packed_text(owner, "events", _EVENTS.dump(tuple(events)))
        last = first + len(events) - 1
        values = {"first": first, "events": text, PROPERTY: where}
        return Row(partition_of(session.workspace, session.id), f"event!{last:010d}", values)

    async def _turn(self, workspace: str, session_id: str, row: Row) -> Turn:
        owner = Owner(workspace, session_id, row.text("run_id"))
        text = await self._texts.whole_text(owner, row.text("text"), row.text(PROPERTY))
        calls = _CALLS.load(stored) if (stored := row.text("calls")) else ()
        return Turn(row.text("role"), text, row.text("run_id"), _at(row), row.text("author"), calls)


def long_events(events: Sequence[Event]) -> bool:
    """Return whether the events are too long for a row."""
    return bool(events) and is_long(_EVENTS.dump(tuple(events)))


def _at(row: Row) -> datetime:
    moment = row.moment("at")
    if moment is None:
        msg = f"row {row.key} has no time"
        raise ValueError(msg)
    return moment
