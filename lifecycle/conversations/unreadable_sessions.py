"""What can be known of a session whose own row cannot be read, so that it can be erased all the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kernel.codec import JsonCodec, Unreadable
from kernel.lazy_dataclass import dataclass
from kernel.tables import Replace, Row, Span, Tables, every
from lifecycle.conversations.session import Counters, ProviderConversations, RetainedConversation, Session
from lifecycle.conversations.session_rows import TABLE, SessionRows, partition_of
from lifecycle.conversations.session_rules import erasing

if TYPE_CHECKING:
    from lifecycle.conversations.run_and_session_indexes import Directory
    from lifecycle.conversations.session_change import StoredConversation

_KEPT: JsonCodec[tuple[RetainedConversation, ...]] = JsonCodec(tuple[RetainedConversation, ...])


@dataclass(frozen=True, slots=True)
class UnreadableRun:
    """A run that cannot be read: its id; whom it asked and when it was accepted, where its row still says so."""

    id: str
    agent: str | None
    created_at: datetime | None


class Remains:
    """Reads and condemns sessions whose own rows cannot be read."""

    def __init__(self, tables: Tables, rows: SessionRows, directory: Directory) -> None:
        self._tables = tables
        self._rows = rows
        self._directory = directory

    async def session(self, workspace: str, session_id: str) -> Session:
        """Return what the indexes and the session's other rows say of it.

        Raises:
            Unreadable: They do not say whose it is.
        """
        entries = await self._directory.entries_of(workspace, session_id)
        if len({(entry.agent, entry.user_id) for entry in entries}) != 1:
            msg = "The session's row cannot be read, and no other says whose it is."
            raise Unreadable(msg)
        made, partition = entries[0], partition_of(workspace, session_id)
        runs = len([row async for row in every(self._tables, TABLE, Span.prefix(partition, "run!"))])
        turns = len([row async for row in every(self._tables, TABLE, Span.prefix(partition, "turn!"))])
        row = await self._tables.get(TABLE, partition, "session")
        return Session(
            workspace,
            session_id,
            made.agent,
            made.user_id,
            made.at,
            made.at,
            counters=Counters(runs=runs, turns=turns),
            at_provider=ProviderConversations(kept=_kept(row)),
            long_texts=True,
        )

    async def condemn(self, session: Session, now: datetime) -> None:
        """Put in the place of the row that cannot be read that the session is being erased, and cannot be read.

        Raises:
            RowChanged: It was changed meanwhile.
        """
        row = await self._tables.get(TABLE, partition_of(session.workspace, session.id), "session")
        if row is None or await self._readable(row):
            return
        after = erasing(session, now)
        if after.receipt is not None:
            after = replace(after, receipt=replace(after.receipt, unreadable=True))
        await self._tables.commit(TABLE, [Replace(self._rows.session_row(after, row.etag))])

    async def unreadable_runs(self, workspace: str, session_id: str) -> Sequence[UnreadableRun]:
        """Return the session's runs that cannot be read."""
        rows = every(self._tables, TABLE, Span.prefix(partition_of(workspace, session_id), "run!"))
        return [_run(row) async for row in rows if not await self._readable(row)]

    async def _readable(self, row: Row) -> bool:
        try:
            if row.key == "session":
                stored: StoredConversation = await self._rows.stored(row, None)
                return stored.session is not None
            await self._rows.run(row, texts=False)
        except Unreadable:
            return False
        return True


def _run(row: Row) -> UnreadableRun:
    ident = row.key.removeprefix("run!")
    try:
        value = json.loads(row.text("run"))["value"]
        return UnreadableRun(ident, str(value["agent"]), datetime.fromisoformat(value["times"]["accepted"]))
    except (ValueError, KeyError, TypeError):
        return UnreadableRun(ident, None, None)


def _kept(row: Row | None) -> tuple[RetainedConversation, ...]:
    """Return the conversations at providers that the row names, as far as it can be read."""
    try:
        kept: Any = json.loads(row.text("session") if row else "")["value"]["at_provider"]["kept"]
        return _KEPT.load(json.dumps({"v": 1, "value": kept}))
    except (ValueError, KeyError, TypeError, Unreadable):
        return ()
