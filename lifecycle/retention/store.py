"""Storage of retention policies, legal holds and receipts.

Table `retention`, partition workspace: `policy`, `hold!{scope}`, `receipt!{newest first}`; the day up to which facts or
their parts are deleted: `facts`, `tool_calls`, `evaluations`; the session up to which parts of sessions are processed:
`upto!{part}`, and earlier sessions that had to stay: `later!{part}!{session}`. Partition `_workspaces`: `{workspace}`,
every workspace that ever had a policy.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING

from kernel.codec import JsonCodec, all_readable, readable, stored_model
from kernel.errors import NotFound
from kernel.ids import new_id, newest_first
from kernel.journal import Event, Journal
from kernel.lazy_dataclass import dataclass
from kernel.preconditions import delete_row, put_row
from kernel.tables import Delete, Insert, Row, RowChanged, RowExists, Span, Tables, Upsert, every, first_rows
from lifecycle.retention.policy import DataRetentionPolicy, HoldScope, LegalHold, Part, hold_on
from lifecycle.sessions.erase import OnHold

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.conversations.session import Session

TABLE = "retention"
_WORKSPACES = "_workspaces"


@dataclass(frozen=True, slots=True)
class RetentionReceipt:
    """What one round deleted in a workspace.

    Attributes:
        id: The receipt's id.
        at: When the round began, aware UTC.
        sessions: Sessions erased; each has a receipt of its own.
        runs: Runs deleted, including those of erased sessions.
        messages: Messages of erased sessions.
        transcripts: Sessions whose transcript was deleted.
        tool_calls: Runs and facts whose tool calls were deleted.
        evaluations: Runs and facts whose scores were deleted.
        facts: Facts of attempts deleted.
        held: Sessions kept by a legal hold.
        complete: Whether everything due was deleted; else the next round continues.
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
        """Whether anything was deleted."""
        return any((self.sessions, self.runs, self.transcripts, self.tool_calls, self.evaluations, self.facts))

    def plus(self, part: Part, count: int) -> RetentionReceipt:
        """Return the receipt with `count` added for the part."""
        name = part.value
        return replace(self, **{name: getattr(self, name) + count})


@dataclass(frozen=True, slots=True)
class Progress:
    """Position in a workspace's sessions for a part, by their keys in the directory, newest first.

    Attributes:
        until: All sessions after this key are processed; None for none.
        start: Where the unfinished round began; None without one.
        at: The unfinished round's position.
    """

    until: str | None = None
    start: str | None = None
    at: str | None = None


_HOLD = JsonCodec(LegalHold)
_RECEIPT = JsonCodec(RetentionReceipt)
_PROGRESS = JsonCodec(Progress)


class RetentionStore:
    """Stores policies, holds and receipts."""

    def __init__(self, tables: Tables, journal: Journal, clock: Clock) -> None:
        self._tables = tables
        self._journal = journal
        self._clock = clock

    async def policy(self, workspace: str) -> tuple[DataRetentionPolicy, str]:
        """Return the workspace's policy and its ETag; a policy without limits and an empty ETag where it has none.

        Raises:
            Unreadable: It is damaged, or of a later release.
        """
        row = await self._tables.get(TABLE, workspace, "policy")
        policy = (
            stored_model(DataRetentionPolicy, row.text("policy"), "retention policy") if row else DataRetentionPolicy()
        )
        return policy, row.etag if row else ""

    async def put_policy(self, workspace: str, policy: DataRetentionPolicy, if_match: str | None) -> str:
        """Store the policy and return its ETag.

        Raises:
            EtagMismatch: It was changed since the caller read it.
        """
        # Before the policy: the list may have a workspace too many, never one too few.
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
            Unreadable: A hold cannot be read; then nothing may be erased.
        """
        return [_hold(row) async for row in every(self._tables, TABLE, _of_kind(workspace, "hold"))]

    async def readable_holds(self, workspace: str) -> Sequence[LegalHold]:
        """Return the workspace's readable holds by scope, for display."""
        rows = every(self._tables, TABLE, _of_kind(workspace, "hold"))
        return [hold async for hold in all_readable(rows, _hold, "legal hold")]

    async def place(self, workspace: str, hold: LegalHold) -> tuple[LegalHold, bool]:
        """Place the hold, and return it and whether it is new; if the scope has a hold, that one."""
        row = Row(workspace, f"hold!{hold.scope}", {"hold": _HOLD.dump(hold)})
        try:
            await self._tables.commit(TABLE, [Insert(row)])
        except RowExists:
            found = await self._tables.get(TABLE, workspace, row.key)
            return (_hold(found) if found else hold), False
        # The workspace's stream has no users and no reasons: they are in the hold.
        event = Event("hold.placed", {"on": hold.scope.kind, "by": hold.by}, hold.since)
        await self._journal.record(workspace, f"hold:{new_id()}", event)
        return hold, True

    async def release(self, workspace: str, scope: HoldScope, by: str | None) -> None:
        """Release the hold; what it kept is erased again as the policy, or a call, demands.

        Raises:
            NotFound: There is no hold of this scope.
        """
        missing = NotFound(f"There is no legal hold on {scope}.", code="hold_not_found")
        await delete_row(self._tables, TABLE, (workspace, f"hold!{scope}"), None, missing)
        event = Event("hold.released", {"on": scope.kind, "by": by}, self._clock())
        await self._journal.record(workspace, f"hold:{new_id()}", event)

    async def check(self, session: Session) -> None:
        """Check that the session may be erased.

        Raises:
            OnHold: A legal hold keeps it.
        """
        hold = hold_on(session, await self.holds(session.workspace))
        if hold is not None:
            raise OnHold(f"A legal hold on {hold.scope} keeps this session.")

    async def check_user(self, workspace: str, user_id: str) -> None:
        """Check that the user may be erased, apart from sessions with a hold of their own.

        Raises:
            OnHold: A legal hold on the user or the workspace keeps everything.
        """
        scopes = {hold.scope for hold in await self.holds(workspace)}
        for scope in (HoldScope("workspace"), HoldScope("user", user_id)):
            if scope in scopes:
                raise OnHold(f"A legal hold on {scope} keeps this user's data.")

    async def add_receipt(self, workspace: str, receipt: RetentionReceipt) -> None:
        """Store the receipt."""
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
        """Return the last day for which the part is deleted, like all days before it; None for none."""
        row = await self._tables.get(TABLE, workspace, part.value)
        return date.fromisoformat(row.text("until")) if row else None

    async def note_deleted(self, workspace: str, part: Part, until: date) -> None:
        """Store the last day for which the part is deleted, like all days before it."""
        await self._tables.commit(TABLE, [Upsert(Row(workspace, part.value, {"until": until.isoformat()}))])

    async def progress(self, workspace: str, part: Part) -> Progress:
        """Return the position in the workspace's sessions for the part."""
        row = await self._tables.get(TABLE, workspace, f"upto!{part}")
        return _PROGRESS.load(row.text("progress")) if row else Progress()

    async def note_progress(self, workspace: str, part: Part, progress: Progress) -> None:
        """Store the position in the workspace's sessions for the part."""
        row = Row(workspace, f"upto!{part}", {"progress": _PROGRESS.dump(progress)})
        await self._tables.commit(TABLE, [Upsert(row)])

    async def passed_over(self, workspace: str, part: Part) -> Sequence[str]:
        """Return the processed sessions whose part had to stay."""
        kind = f"later!{part}"
        rows = every(self._tables, TABLE, _of_kind(workspace, kind))
        return [row.key.removeprefix(f"{kind}!") async for row in rows]

    async def pass_over(self, workspace: str, part: Part, session_id: str) -> None:
        """Record a session whose part has to stay for now."""
        await self._tables.commit(TABLE, [Upsert(Row(workspace, f"later!{part}!{session_id}", {}))])

    async def take_up(self, workspace: str, part: Part, session_id: str) -> None:
        """Remove a session from those that had to stay."""
        try:
            await self._tables.commit(TABLE, [Delete(workspace, f"later!{part}!{session_id}")])
        except RowChanged:  # another round removed it
            return


def _hold(row: Row) -> LegalHold:
    return _HOLD.load(row.text("hold"))


def _of_kind(workspace: str, kind: str, after: str | None = None) -> Span:
    return Span.prefix(workspace, f"{kind}!", after=f"{kind}!{after}" if after else None)
