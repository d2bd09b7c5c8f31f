"""Storage of sessions: one partition a session, holding it, its runs, turns and events, changed in one transaction.

Rows of partition `{workspace}!{session}` in table `conversations`:
`session` · `run!{run}` · `turn!{seq}` · `event!{seq}`, the events of one transaction under the last one's number.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from kernel.codec import JsonCodec
from kernel.errors import TooLarge, Unavailable
from kernel.journal import Event
from kernel.tables import (
    MAX_WRITES,
    Delete,
    Insert,
    Replace,
    Row,
    RowChanged,
    RowExists,
    RowTooLarge,
    Span,
    Tables,
    Write,
    every,
    first_rows,
)
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.session import Session

TABLE = "conversations"
_SESSION = JsonCodec(Session)
_RUN = JsonCodec(Run)
_CONFLICTS_BEFORE_GIVING_UP = 20


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the history: who said what in which run."""

    role: str
    text: str
    run_id: str
    at: datetime


_EVENTS: JsonCodec[tuple[Event, ...]] = JsonCodec(tuple[Event, ...])


@dataclass(frozen=True, slots=True)
class Stored:
    """A session and one of its runs as read, with the ETags that a change is guarded by; None where there is no row."""

    session: Session | None
    run: Run | None
    session_etag: str = ""
    run_etag: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What a decision changes, committed whole or not at all; None leaves the session or run untouched.

    Turns and events are numbered by the session's counters, so a change that adds any changes the session too.
    """

    session: Session | None = None
    run: Run | None = None
    turns: Sequence[Turn] = field(default=())
    events: Sequence[Event] = field(default=())


Decide = Callable[[Stored], Change | None]
"""Returns the change to commit, or None when there is nothing (left) to do; called again when somebody was faster."""


Committed = Callable[[Session, Sequence[Event]], None]
"""Is told of events that were committed, and of the session, whose last events they are, as it is then."""

Doubted = Callable[[str, str], None]
"""Is told of a workspace's session that it cannot be said whether something was committed."""


class Conversations:
    """Reads and changes sessions."""

    def __init__(
        self,
        tables: Tables,
        committed: Committed | None = None,
        run_changed: Callable[[Run | None, Run], None] | None = None,
        doubted: Doubted | None = None,
    ) -> None:
        """Set the tables, and who is told of events and of changed runs once they are committed."""
        self._tables = tables
        self._committed = committed
        self._doubted = doubted
        self._run_changed = run_changed

    async def load(self, workspace: str, session_id: str, run_id: str | None = None) -> Stored:
        """Return the session and the run (two point reads side by side)."""
        partition = f"{workspace}!{session_id}"
        if run_id is None:
            session_row, run_row = await self._tables.get(TABLE, partition, "session"), None
        else:
            session_row, run_row = await asyncio.gather(
                self._tables.get(TABLE, partition, "session"), self._tables.get(TABLE, partition, f"run!{run_id}")
            )
        return Stored(
            _SESSION.load(session_row.text("session")) if session_row else None,
            _run(run_row) if run_row else None,
            session_row.etag if session_row else "",
            run_row.etag if run_row else "",
        )

    async def update(
        self, workspace: str, session_id: str, run_id: str | None, decide: Decide, *, known: Stored | None = None
    ) -> Stored:
        """Commit what `decide` decides on the current state, deciding anew whenever it was changed in between.

        Args:
            workspace: Workspace of the session.
            session_id: The session.
            run_id: The run `decide` also sees; None for none.
            decide: The rule; errors it raises change nothing and reach the caller.
            known: The state as last seen, to save the read; the ETags still guard it.

        Raises:
            Unavailable: Others kept changing the session.
            TooLarge: The run or the session is too large to be stored.
        """
        stored = known or await self.load(workspace, session_id, run_id)
        for _ in range(_CONFLICTS_BEFORE_GIVING_UP):
            change = decide(stored)
            if change is None:
                return stored
            try:
                return await self._commit(f"{workspace}!{session_id}", stored, change)
            except (RowChanged, RowExists):
                await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311 - spreads writers, guards nothing
                stored = await self.load(workspace, session_id, run_id)
            except RowTooLarge:
                msg = "The query and its answer are too large to be stored."
                raise TooLarge(msg) from None
        msg = "The session is being changed by too many at once; try again."
        raise Unavailable(msg, code="session_busy", retry_after_s=1)

    async def turns(self, workspace: str, session_id: str, first: int, limit: int) -> Sequence[Turn]:
        """Return up to `limit` (1-1000) messages in order, from sequence number `first` on."""
        span = Span(f"{workspace}!{session_id}", key_from=f"turn!{first:010d}", key_before="turn!~")
        rows = await first_rows(self._tables, TABLE, span, limit)
        return [Turn(row.text("role"), row.text("text"), row.text("run_id"), _at(row)) for row in rows]

    async def events(self, workspace: str, session_id: str, first: int, limit: int) -> Sequence[tuple[int, Event]]:
        """Return up to `limit` (1-1000) events with their sequence numbers, from number `first` on."""
        span = Span(f"{workspace}!{session_id}", key_from=f"event!{first:010d}", key_before="event!~")
        rows = await first_rows(self._tables, TABLE, span, limit)
        found = [numbered for row in rows for numbered in _events(row) if numbered[0] >= first]
        return found[:limit]

    async def run(self, workspace: str, session_id: str, run_id: str) -> Run | None:
        """Return the run, or None when there is none."""
        row = await self._tables.get(TABLE, f"{workspace}!{session_id}", f"run!{run_id}")
        return _run(row) if row else None

    async def runs(self, workspace: str, session_id: str) -> AsyncIterator[Run]:
        """Yield the session's runs."""
        async for row in every(self._tables, TABLE, Span.prefix(f"{workspace}!{session_id}", "run!")):
            yield _run(row)

    async def runs_in(self, workspace: str, session_id: str, *states: RunState) -> AsyncIterator[Run]:
        """Yield the session's runs in the states, one state after the other; only these cross the wire."""
        of_runs = Span.prefix(f"{workspace}!{session_id}", "run!")
        for state in states:
            async for row in every(self._tables, TABLE, replace(of_runs, where={"state": state.value})):
                yield _run(row)

    async def clear(
        self, workspace: str, session_id: str, prefixes: Sequence[str] = ("run!", "turn!", "event!")
    ) -> None:
        """Remove the session's runs, turns and events, or only what is under some of the keys; the session stays."""
        partition = f"{workspace}!{session_id}"
        for prefix in prefixes:
            while rows := await first_rows(self._tables, TABLE, Span.prefix(partition, prefix), MAX_WRITES):
                try:
                    await self._tables.commit(TABLE, [Delete(partition, row.key) for row in rows])
                except RowChanged:
                    continue  # somebody else clears it, or our own earlier try took effect

    async def _commit(self, partition: str, stored: Stored, change: Change) -> Stored:
        writes: list[Write] = []
        session = change.session
        if session is not None:
            first_turn, first_event = session.turns, session.events
            session = session.counting(turns=len(change.turns), events=len(change.events))
            values = {"session": _SESSION.dump(session), "state": session.state.value}
            writes.append(_put(Row(partition, "session", values, stored.session_etag)))
            writes += [
                Insert(Row(partition, f"turn!{n:010d}", _turn_values(turn)))
                for n, turn in enumerate(change.turns, first_turn)
            ]
            if change.events:
                # One row for them all: a row more costs a transaction more than its bytes do.
                last = first_event + len(change.events) - 1
                values = {"first": first_event, "events": _EVENTS.dump(tuple(change.events))}
                writes.append(Insert(Row(partition, f"event!{last:010d}", values)))
        if change.run is not None:
            writes.insert(0, _put(_run_row(partition, change.run, stored.run_etag)))
        try:
            etags = await self._tables.commit(TABLE, writes)
        except BaseException:
            if self._doubted is not None:
                self._doubted(*partition.split("!", 1))
            raise
        if session is not None and change.events and self._committed is not None:
            self._committed(session, change.events)
        if change.run is not None and self._run_changed is not None:
            self._run_changed(stored.run, change.run)
        run_etag = etags[0] if change.run is not None else stored.run_etag
        session_etag = etags[int(change.run is not None)] if session is not None else stored.session_etag
        return Stored(session or stored.session, change.run or stored.run, session_etag, run_etag)


def _put(row: Row) -> Write:
    return Replace(row) if row.etag else Insert(row)


def _run_row(partition: str, run: Run, etag: str) -> Row:
    return Row(partition, f"run!{run.id}", {"run": _RUN.dump(run), "state": run.state.value}, etag)


def _run(row: Row) -> Run:
    return _RUN.load(row.text("run"))


def _at(row: Row) -> datetime:
    moment = row.moment("at")
    if moment is None:
        msg = f"row {row.key} has no time"
        raise ValueError(msg)
    return moment


def _turn_values(turn: Turn) -> dict[str, Any]:
    return {"role": turn.role, "text": turn.text, "run_id": turn.run_id, "at": turn.at}


def _events(row: Row) -> Sequence[tuple[int, Event]]:
    return list(enumerate(_EVENTS.load(row.text("events")), row.integer("first")))
