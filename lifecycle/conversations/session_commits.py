"""Commits changes of sessions; concurrent changes of one session are committed together, in order.

A session's row is written by whoever submits to it and by whoever runs a run of it, guarded by its ETag. Within a
process its changes are group commits; between processes whoever was faster makes the others decide again, each after a
pause that grows.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kernel.errors import TooLarge, Unavailable
from kernel.group_commit import Group, GroupCommit, Request
from kernel.journal import Event
from kernel.tables import Insert, RowChanged, RowExists, RowTooLarge, Write, put
from lifecycle.conversations.long_texts import has_long, is_long
from lifecycle.conversations.session_change import (
    Committed,
    CommitUncertain,
    ConversationChange,
    Decide,
    RunChanged,
    StoredConversation,
    Turn,
)
from lifecycle.conversations.session_rows import TABLE, long_events

if TYPE_CHECKING:
    from kernel.tables import Tables
    from lifecycle.conversations.run import Run
    from lifecycle.conversations.session import Session
    from lifecycle.conversations.session_rows import SessionRows

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
class Update(Request):
    """A change of a session and perhaps of one of its runs: how it is decided, and what is stored then.

    Attributes:
        run_id: The run; None for none.
        decide: The rule.
        known: The run, and the session, as last seen; None where they have to be read.
        session: The session and its ETag as this process has last stored or read it; None where it has not.
        result: What is stored then.
    """

    run_id: str | None
    decide: Decide
    known: StoredConversation | None
    session: tuple[Session | None, str] | None = field(default=None, init=False)
    result: StoredConversation | None = field(default=None, init=False)


_Updates = Group[tuple[str, str], Update]
"""The changes of a session, by workspace and id."""


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
        commit_uncertain: CommitUncertain | None,
    ) -> None:
        self._tables = tables
        self._rows = rows
        self._ahead = ahead
        self._load = load
        self._committed = committed
        self._run_changed = run_changed
        self._commit_uncertain = commit_uncertain
        self._commits = GroupCommit[tuple[str, str], Update](_together, self._make, single=(RowTooLarge,))

    async def update(self, workspace: str, session_id: str, own: Update) -> StoredConversation:
        """Commit the change and return the stored state.

        Raises:
            Unavailable: Other callers kept changing the session, or the storage cannot be reached.
            TooLarge: The run or the session is too large to be stored.
        """
        try:
            await self._commits.make((workspace, session_id), own)
        except RowTooLarge:
            msg = "The query and its answer are too large to be stored."
            raise TooLarge(msg) from None
        if own.result is None:
            msg = "a change came to nothing"
            raise RuntimeError(msg)
        return own.result

    async def _make(self, group: _Updates, batch: Sequence[Update]) -> None:
        """Commit the changes; decide them again whenever somebody else has changed the session or one of the runs."""
        loop = asyncio.get_running_loop()
        give_up, pause = loop.time() + _PATIENCE_S, _FIRST_PAUSE_S
        while True:
            try:
                await self._try(group, batch)
            except RowTooLarge:
                raise
            except (RowChanged, RowExists):
                _forget(group)
                if loop.time() >= give_up:
                    msg = "The session is being changed by too many callers at once; try again."
                    raise Unavailable(msg, code="session_busy", retry_after_s=1) from None
                await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - spreads writers, guards nothing
                pause = min(pause * 2, _LONGEST_PAUSE_S)
            except BaseException:
                _forget(group)  # whether it took effect is not known
                raise
            else:
                return

    async def _try(self, group: _Updates, batch: Sequence[Update]) -> None:
        seen = await self._seen(group, batch)
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
        for each in group.waiting:
            each.session = (merged.session, session_etag)
        for update, error in refused.items():
            update.finish(error)
        for update, found, run in decided:
            run_etag = etags[run.id] if run is not None else found.run_etag
            update.result = StoredConversation(merged.session, run or found.run, session_etag, run_etag)
            update.finish()

    async def _seen(self, group: _Updates, batch: Sequence[Update]) -> Sequence[StoredConversation]:
        """Return the session and each change's run, reading only what is not known."""
        first = batch[0]
        if first.session is None:
            known = first.known = first.known or await self._load(*group.key, first.run_id)
            first.session = (known.session, known.session_etag)
        session, etag = first.session
        unknown = [each for each in batch if each.known is None and each.run_id is not None]
        loaded = await asyncio.gather(*(self._load(*group.key, each.run_id) for each in unknown))
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
                [session_etag] = await self._tables.commit(TABLE, [put(flagged)])
                if not merged.changed:
                    merged.changed = True
        elif before is not None and before.long_texts and not session.long_texts:
            session = merged.session = replace(session, long_texts=True)
        for seen, run in merged.runs:
            await self._ahead(seen.run, run)
        writes: list[Write] = [put(await self._rows.run_row(run, seen.run_etag)) for seen, run in merged.runs]
        if merged.changed:
            writes.append(put(self._rows.session_row(session, session_etag)))
            first = session.turns - len(merged.turns)
            for number, turn in enumerate(merged.turns, first):
                writes.append(Insert(await self._rows.turn_row(session, number, turn)))
            if merged.events:
                first = session.events - len(merged.events)
                writes.append(Insert(await self._rows.event_row(session, first, merged.events)))
        try:
            etags = await self._tables.commit(TABLE, writes)
        except BaseException:
            if self._commit_uncertain is not None:
                self._commit_uncertain(session.workspace, session.id)
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


def _together(waiting: Sequence[Update]) -> Sequence[Update]:
    """Return the changes to commit together: at most one for each run, as a transaction writes each row once."""
    found, runs = list[Update](), set[str]()
    for each in waiting:
        if each.run_id is None or each.run_id not in runs:
            found.append(each)
            runs |= {each.run_id} if each.run_id else set()
    return found[:_AT_ONCE]


def _forget(group: _Updates) -> None:
    """Forget what is known of a session and its runs: somebody else has changed it."""
    for each in group.waiting:
        each.session = each.known = None
