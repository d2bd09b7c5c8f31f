"""Commits changes of sessions; concurrent changes of one session are committed together, in order.

A session's row is written by all who submit to it and by the worker of its runs, guarded by its ETag. Within a process,
the changes of a session form a queue, and the first one commits as many of them as one transaction takes. Between
processes, one succeeds and the others decide again, each after a growing pause.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kernel.errors import TooLarge, Unavailable
from kernel.journal import Event
from kernel.tables import Insert, Replace, Row, RowChanged, RowExists, RowTooLarge, Write
from lifecycle.conversations.changes import (
    Committed,
    ConversationChange,
    Decide,
    Doubted,
    RunChanged,
    StoredConversation,
    Turn,
)
from lifecycle.conversations.long_texts import has_long, is_long
from lifecycle.conversations.rows import TABLE, long_events, partition_of

if TYPE_CHECKING:
    from kernel.tables import Tables
    from lifecycle.conversations.rows import SessionRows
    from lifecycle.conversations.run import Run
    from lifecycle.conversations.session import Session

Load = Callable[[str, str, str | None], Awaitable[StoredConversation]]
Ahead = Callable[["Run | None", "Run"], Awaitable[None]]
"""Stores what has to exist before a run's change: gets the run before (None for a new one) and after."""

_AT_ONCE = 24
"""Most changes committed together: within a transaction's 100 rows and 4 MiB."""
_MOST_WRITES = 90
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5
_PATIENCE_S = 30.0


@dataclass(eq=False, slots=True)
class Update:
    """A change that a caller waits for: its rule, and its outcome."""

    run_id: str | None
    decide: Decide
    known: StoredConversation | None
    result: StoredConversation | None = None
    error: Exception | None = None

    @property
    def settled(self) -> bool:
        """Whether its outcome is known."""
        return self.result is not None or self.error is not None


@dataclass(slots=True)
class _CommitQueue:
    """The pending changes of one session in this process, in order."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: list[Update] = field(default_factory=list[Update])
    latest: tuple[Session | None, str] | None = None

    def batch(self, first: Update) -> Sequence[Update]:
        """Return the changes to commit together: at most one for each run, as a transaction writes each row once."""
        found, runs = [first], {first.run_id}
        for each in self.waiting:
            if each is not first and (each.run_id is None or each.run_id not in runs):
                found.append(each)
                runs.add(each.run_id)
        return found[:_AT_ONCE]

    def forget(self) -> None:
        """Drop the cached state: another process has changed the session."""
        self.latest = None
        for each in self.waiting:
            each.known = None


@dataclass(slots=True)
class _Batch:
    """Several changes merged into one."""

    before: Session | None
    session: Session | None
    changed: bool = False
    runs: list[tuple[StoredConversation, Run]] = field(default_factory=list["tuple[StoredConversation, Run]"])
    turns: list[Turn] = field(default_factory=list[Turn])
    events: list[Event] = field(default_factory=list[Event])

    @property
    def size(self) -> int:
        """How many rows it writes."""
        return len(self.runs) + len(self.turns) + 2

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.changed or self.runs)

    @property
    def long(self) -> bool:
        """Whether it has a text that is too long for its row."""
        return (
            any(has_long(run) for _, run in self.runs)
            or any(is_long(turn.text) for turn in self.turns)
            or long_events(self.events)
        )

    def add(self, seen: StoredConversation, change: ConversationChange) -> None:
        """Merge a change that was decided on the state after the previous ones."""
        if change.run is not None:
            self.runs.append((seen, change.run))
        if change.session is not None:
            self.session = change.session.counting(turns=len(change.turns), events=len(change.events))
            self.changed = True
            self.turns += change.turns
            self.events += change.events


class SessionWriter:
    """Commits changes of sessions."""

    def __init__(
        self,
        tables: Tables,
        rows: SessionRows,
        ahead: Ahead,
        load: Load,
        committed: Committed | None,
        run_changed: RunChanged | None,
        doubted: Doubted | None,
    ) -> None:
        self._tables = tables
        self._rows = rows
        self._ahead = ahead
        self._load = load
        self._committed = committed
        self._run_changed = run_changed
        self._doubted = doubted
        self._queues: dict[str, _CommitQueue] = {}

    async def update(self, workspace: str, session_id: str, own: Update) -> StoredConversation:
        """Commit the change and return the stored state.

        Raises:
            Unavailable: Other callers kept changing the session, or the storage cannot be reached.
            TooLarge: The run or the session is too large to be stored.
        """
        key = partition_of(workspace, session_id)
        queue = self._queues.setdefault(key, _CommitQueue())
        queue.waiting.append(own)
        try:
            async with queue.lock:
                if not own.settled:
                    await self._commit_queued(workspace, session_id, queue, own)
        finally:
            if own in queue.waiting:
                queue.waiting.remove(own)
            if not queue.waiting:
                self._queues.pop(key, None)
        if own.error is not None:
            raise own.error
        if own.result is None:
            msg = "a change came to nothing"
            raise RuntimeError(msg)
        return own.result

    async def _commit_queued(self, workspace: str, session_id: str, queue: _CommitQueue, own: Update) -> None:
        """Commit the change together with those queued behind it, whose callers then find them done."""
        loop = asyncio.get_running_loop()
        give_up, pause, alone = loop.time() + _PATIENCE_S, _FIRST_PAUSE_S, False
        while True:
            batch = [own] if alone else queue.batch(own)
            try:
                await self._commit_batch(workspace, session_id, queue, batch)
            except (RowChanged, RowExists):
                queue.forget()
                if loop.time() >= give_up:
                    msg = "The session is being changed by too many callers at once; try again."
                    raise Unavailable(msg, code="session_busy", retry_after_s=1) from None
                await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - spreads writers, guards nothing
                pause = min(pause * 2, _LONGEST_PAUSE_S)
            except RowTooLarge:
                if len(batch) == 1:
                    msg = "The query and its answer are too large to be stored."
                    raise TooLarge(msg) from None
                alone = True
            except Exception as error:
                queue.forget()
                for each in batch:
                    each.error = error
                queue.waiting = [each for each in queue.waiting if not each.settled]
                raise
            except BaseException:
                queue.forget()  # it is unknown whether it took effect
                raise
            else:
                queue.waiting = [each for each in queue.waiting if not each.settled]
                return

    async def _commit_batch(
        self, workspace: str, session_id: str, queue: _CommitQueue, batch: Sequence[Update]
    ) -> None:
        seen = await self._load_states(workspace, session_id, queue, batch)
        merged = _Batch(seen[0].session, seen[0].session)
        refused: dict[Update, Exception] = {}
        decided: list[tuple[Update, StoredConversation, Run | None]] = []
        for update, found in zip(batch, seen, strict=True):
            if merged.size >= _MOST_WRITES:
                break  # it goes into the next transaction
            found = replace(found, session=merged.session)  # noqa: PLW2901 - as those before it leave it
            try:
                change = update.decide(found)
            except Exception as error:  # noqa: BLE001 - its caller's alone
                refused[update] = error
                continue
            if change is not None:
                merged.add(found, change)
            decided.append((update, found, change.run if change else None))
        etags = await self._commit(merged, seen[0].session_etag) if not merged.empty else {}
        session_etag = etags.get("", seen[0].session_etag)
        queue.latest = (merged.session, session_etag)
        for update, error in refused.items():
            update.error = error
        for update, found, run in decided:
            run_etag = etags[run.id] if run is not None else found.run_etag
            update.result = StoredConversation(merged.session, run or found.run, session_etag, run_etag)

    async def _load_states(
        self, workspace: str, session_id: str, queue: _CommitQueue, batch: Sequence[Update]
    ) -> Sequence[StoredConversation]:
        """Return the session and each change's run, reading only what is not cached."""
        first = batch[0]
        if queue.latest is None:
            known = first.known or await self._load(workspace, session_id, first.run_id)
            first.known = known
            queue.latest = (known.session, known.session_etag)
        session, etag = queue.latest
        unknown = [each for each in batch if each.known is None and each.run_id is not None]
        loaded = await asyncio.gather(*(self._load(workspace, session_id, each.run_id) for each in unknown))
        for each, stored in zip(unknown, loaded, strict=True):
            each.known = stored
        nothing = StoredConversation(None, None)
        return [replace(each.known or nothing, session=session, session_etag=etag) for each in batch]

    async def _commit(self, merged: _Batch, session_etag: str) -> dict[str, str]:
        """Commit the changes in one transaction; return the new ETags by run id, and the session's under ''."""
        before, session = merged.before, merged.session
        if session is None:
            msg = "a run without a session"
            raise RuntimeError(msg)
        if merged.long and not (before or session).long_texts:
            session = merged.session = replace(session, long_texts=True)
            if before is not None:
                # Before the first long text is stored: otherwise erasing the session would not look for it.
                flagged = self._rows.session_row(replace(before, long_texts=True), session_etag)
                [session_etag] = await self._tables.commit(TABLE, [_put(flagged)])
                if not merged.changed:
                    merged.changed = True
        elif before is not None and before.long_texts and not session.long_texts:
            session = merged.session = replace(session, long_texts=True)
        for seen, run in merged.runs:
            await self._ahead(seen.run, run)
        writes: list[Write] = [_put(await self._rows.run_row(run, seen.run_etag)) for seen, run in merged.runs]
        if merged.changed:
            writes.append(_put(self._rows.session_row(session, session_etag)))
            first = session.turns - len(merged.turns)
            for number, turn in enumerate(merged.turns, first):
                writes.append(Insert(await self._rows.turn_row(session, number, turn)))
            if merged.events:
                first = session.events - len(merged.events)
                writes.append(Insert(await self._rows.event_row(session, first, merged.events)))
        try:
            etags = await self._tables.commit(TABLE, writes)
        except BaseException:
            if self._doubted is not None:
                self._doubted(session.workspace, session.id)
            raise
        self._announce(merged, session)
        found = {run.id: etag for (_, run), etag in zip(merged.runs, etags, strict=False)}
        return found | ({"": etags[len(merged.runs)]} if merged.changed else {})

    def _announce(self, merged: _Batch, session: Session) -> None:
        if merged.events and self._committed is not None:
            self._committed(session, merged.events)
        if self._run_changed is not None:
            for seen, run in merged.runs:
                self._run_changed(seen.run, run)


def _put(row: Row) -> Write:
    return Replace(row) if row.etag else Insert(row)
