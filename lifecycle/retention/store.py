"""Retention policies, legal holds and receipts.

Table `retention`, partition workspace: `policy`, `hold!{scope}`, `receipt!{newest first}`; up to which day details are
deleted: `facts`, `tool_calls`, `evaluations`; of the parts of sessions up to which session they are: `upto!{part}`, and
sessions before that which must stay: `later!{part}!{session}`. Partition `_workspaces`: `{workspace}`, every workspace
that ever had a policy.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from kernel.clock import Clock
from kernel.codec import JsonCodec, all_readable, readable
from kernel.errors import NotFound
from kernel.ids import new_id, newest_first
from kernel.journal import Event, Journal
from kernel.preconditions import delete_row, put_row
from kernel.tables import Delete, Insert, Row, RowChanged, RowExists, Span, Tables, Upsert, every, first_rows
from lifecycle.conversations.session import Session
from lifecycle.retention.policy import DataRetentionPolicy, HoldScope, LegalHold, Part, hold_on
from lifecycle.sessions.erase import OnHold

TABLE = "retention"
_WORKSPACES = "_workspaces"


@dataclass(frozen=True, slots=True)
class RetentionReceipt:
    """What one round deleted of a workspace's data.

    Attributes:
        id: Its id.
        at: When it began.
        sessions: Sessions erased; each keeps a receipt of its own.
        runs: Runs deleted, with their sessions or without.
        messages: Messages of erased sessions.
        transcripts: Sessions whose transcripts were deleted.
        tool_calls: Runs and facts whose tools' calls were deleted.
        evaluations: Runs and facts whose scores were deleted.
        facts: Details of attempts deleted.
        held: Sessions that a legal hold keeps.
        complete: Whether nothing due is left; the next round goes on.
    """

    id: str
    at: datetime
    sessions: int = 0
    runs: int = 0
    messages: int = 0
    transcripts: int = 0
    tool_calls: int = 0
    evaluations: int = 0
    facts: int = 0
    held: int = 0
    complete: bool = True

    @property
    def deleted(self) -> bool:
        """Whether anything was."""
        return any((self.sessions, self.runs, self.transcripts, self.tool_calls, self.evaluations, self.facts))

    def plus(self, part: Part, count: int) -> RetentionReceipt:
        """Return the receipt with so many more of a part."""
        name = part.value
        return replace(self, **{name: getattr(self, name) + count})


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the sessions of a workspace were gone through for a part, by their keys in the directory, newest first.

    Attributes:
        until: All sessions after this key were looked at; None for none.
        start: Where the round that is not finished began; None for no such round.
        at: How far it came.
    """

    until: str | None = None
    start: str | None = None
    at: str | None = None


_HOLD = JsonCodec(LegalHold)
_RECEIPT = JsonCodec(RetentionReceipt)
_PROGRESS = JsonCodec(Progress)


class RetentionStore:
    """Keeps policies, holds and receipts."""

    def __init__(self, tables: Tables, journal: Journal, clock: Clock) -> None:
        self._tables = tables
        self._journal = journal
        self._clock = clock

    async def policy(self, workspace: str) -> tuple[DataRetentionPolicy, str]:
        """Return the workspace's policy and its ETag; one that keeps everything and no ETag where it has none."""
        row = await self._tables.get(TABLE, workspace, "policy")
        policy = DataRetentionPolicy.model_validate_json(row.text("policy")) if row else DataRetentionPolicy()
        return policy, row.etag if row else ""

    async def put_policy(self, workspace: str, policy: DataRetentionPolicy, if_match: str | None) -> str:
        """Set the policy and return its ETag.

        Raises:
            EtagMismatch: It is not as the caller has read it.
        """
        # Before the policy: the timer may find a workspace too many, never one too few.
        await self._tables.commit(TABLE, [Upsert(Row(_WORKSPACES, workspace, {}))])
        row = Row(workspace, "policy", {"policy": policy.model_dump_json()})
        etag, _ = await put_row(self._tables, TABLE, row, if_match)
        return etag

    async def workspaces(self) -> AsyncIterator[str]:
        """Yield every workspace that ever had a policy."""
        async for row in every(self._tables, TABLE, Span(_WORKSPACES)):
            yield row.key

    async def holds(self, workspace: str) -> Sequence[LegalHold]:
        """Return the workspace's holds by scope.

        Raises:
            Unreadable: One cannot be read; nothing is to be erased then.
        """
        return [_hold(row) async for row in every(self._tables, TABLE, _of_kind(workspace, "hold"))]

    async def readable_holds(self, workspace: str) -> Sequence[LegalHold]:
        """Return the workspace's holds that can be read, by scope, to be shown."""
        rows = every(self._tables, TABLE, _of_kind(workspace, "hold"))
        return [hold async for hold in all_readable(rows, _hold, "legal hold")]

    async def place(self, workspace: str, hold: LegalHold) -> tuple[LegalHold, bool]:
        """Place the hold and return the one that stands and whether it is new; on one scope there is one hold."""
        row = Row(workspace, f"hold!{hold.scope}", {"hold": _HOLD.dump(hold)})
        try:
            await self._tables.commit(TABLE, [Insert(row)])
        except RowExists:
            found = await self._tables.get(TABLE, workspace, row.key)
            return (_hold(found) if found else hold), False
        # The workspace's stream names no users and no reasons: who needs them reads the hold.
        told = Event("hold.placed", {"on": hold.scope.kind, "by": hold.by}, hold.since)
        await self._journal.record(workspace, f"hold:{new_id()}", told)
        return hold, True

    async def release(self, workspace: str, scope: HoldScope, by: str | None) -> None:
        """End the hold; what it kept is erased from now on as the policy, or a call, says.

        Raises:
            NotFound: There is none on this.
        """
        missing = NotFound(f"There is no legal hold on {scope}.", code="hold_not_found")
        await delete_row(self._tables, TABLE, (workspace, f"hold!{scope}"), None, missing)
        told = Event("hold.released", {"on": scope.kind, "by": by}, self._clock())
        await self._journal.record(workspace, f"hold:{new_id()}", told)

    async def check(self, session: Session) -> None:
        """Do nothing if the session may be erased.

        Raises:
            OnHold: It may not.
        """
        hold = hold_on(session, await self.holds(session.workspace))
        if hold is not None:
            raise OnHold(f"A legal hold on {hold.scope} keeps this session.")

    async def check_user(self, workspace: str, user_id: str) -> None:
        """Do nothing if what is known of the user may be erased, but for sessions that are held for themselves.

        Raises:
            OnHold: Nothing of it may.
        """
        scopes = {hold.scope for hold in await self.holds(workspace)}
        for scope in (HoldScope("workspace"), HoldScope("user", user_id)):
            if scope in scopes:
                raise OnHold(f"A legal hold on {scope} keeps what is known of this user.")

    async def add_receipt(self, workspace: str, receipt: RetentionReceipt) -> None:
        """Keep the receipt."""
        key = f"receipt!{newest_first(receipt.at, receipt.id)}"
        await self._tables.commit(TABLE, [Upsert(Row(workspace, key, {"receipt": _RECEIPT.dump(receipt)}))])

    async def receipts(
        self, workspace: str, limit: int, after: str | None = None
    ) -> tuple[Sequence[RetentionReceipt], str | None]:
        """Return up to `limit` receipts, newest first, and the token to continue after; None at the end."""
        rows = await first_rows(self._tables, TABLE, _of_kind(workspace, "receipt", after), limit + 1)
        found = list(readable(rows[:limit], lambda row: _RECEIPT.load(row.text("receipt")), "receipt"))
        return found, rows[limit - 1].key.removeprefix("receipt!") if len(rows) > limit else None

    async def deleted_until(self, workspace: str, part: Part) -> date | None:
        """Return the last day in whose facts the part is deleted, with all before it; None where none is."""
        row = await self._tables.get(TABLE, workspace, part.value)
        return date.fromisoformat(row.text("until")) if row else None

    async def note_deleted(self, workspace: str, part: Part, until: date) -> None:
        """Note the last day in whose facts the part is deleted, with all before it."""
        await self._tables.commit(TABLE, [Upsert(Row(workspace, part.value, {"until": until.isoformat()}))])

    async def progress(self, workspace: str, part: Part) -> Progress:
        """Return how far the workspace's sessions were gone through for the part."""
        row = await self._tables.get(TABLE, workspace, f"upto!{part}")
        return _PROGRESS.load(row.text("progress")) if row else Progress()

    async def note_progress(self, workspace: str, part: Part, progress: Progress) -> None:
        """Note how far they were gone through."""
        row = Row(workspace, f"upto!{part}", {"progress": _PROGRESS.dump(progress)})
        await self._tables.commit(TABLE, [Upsert(row)])

    async def passed_over(self, workspace: str, part: Part) -> Sequence[str]:
        """Return the sessions that were gone through and whose part had to stay."""
        kind = f"later!{part}"
        rows = every(self._tables, TABLE, _of_kind(workspace, kind))
        return [row.key.removeprefix(f"{kind}!") async for row in rows]

    async def pass_over(self, workspace: str, part: Part, session_id: str) -> None:
        """Note a session whose part must stay for now."""
        await self._tables.commit(TABLE, [Upsert(Row(workspace, f"later!{part}!{session_id}", {}))])

    async def take_up(self, workspace: str, part: Part, session_id: str) -> None:
        """Note that a session that was passed over is done."""
        try:
            await self._tables.commit(TABLE, [Delete(workspace, f"later!{part}!{session_id}")])
        except RowChanged:  # another round was faster
            return


def _hold(row: Row) -> LegalHold:
    return _HOLD.load(row.text("hold"))


def _of_kind(workspace: str, kind: str, after: str | None = None) -> Span:
    return Span.prefix(workspace, f"{kind}!", after=f"{kind}!{after}" if after else None)
