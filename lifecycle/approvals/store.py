"""Storage of approvals. A decision is one transaction under an ETag, so only one can be stored.

Table `approvals`, partition `{workspace}`: `pending!{id}` until it is decided, then `closed!{id}`. An approval's id
begins with its run's id. Arguments, excerpt and result are in properties of their own, which erasing empties.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from kernel.codec import JsonCodec, readable
from kernel.errors import NotFound
from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Insert, Replace, Row, RowChanged, RowExists, Span, Tables, Write, every, first_rows
from lifecycle.approvals.approval import Approval, State
from lifecycle.approvals.policy import TABLE

MAX_RESULT_CHARS = 200_000
"""Longest result that is stored, in characters; a longer one is cut and marked as cut."""
_MOST_COUNTED = 1_000
_APPROVAL = JsonCodec(Approval)
_CUT = "\n[cut off: the rest of the result was not kept]"


@dataclass(frozen=True, slots=True)
class Record:
    """An approval as stored.

    Attributes:
        approval: The approval.
        arguments: The arguments as JSON, amended ones where a person changed them. Empty for a budget, or once erased.
        asked: The model's arguments, if they were amended; else empty.
        excerpt: The beginning of the user's last query; empty once erased.
        result: What the call returned; None before.
        etag: ETag of the stored row; empty for a new approval.
    """

    approval: Approval
    arguments: str = ""
    asked: str = ""
    excerpt: str = ""
    result: str | None = None
    etag: str = ""


class ApprovalStore:
    """Reads and stores approvals."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, records: Sequence[Record]) -> None:
        """Store new approvals; those that exist stay as they are."""
        for record in records:
            if await self.find(record.approval.place.workspace, record.approval.id) is None:
                try:
                    await self._tables.commit(TABLE, [Insert(_row(record))])
                except RowExists:
                    continue

    async def find(self, workspace: str, ident: str) -> Record | None:
        """Return the approval; None if it does not exist."""
        for prefix in ("pending!", "closed!", "pending!"):  # it may move from one to the other between two reads
            row = await self._tables.get(TABLE, workspace, f"{prefix}{ident}")
            if row is not None:
                return _record(row)
        return None

    async def get(self, workspace: str, ident: str) -> Record:
        """Return the approval.

        Raises:
            NotFound: It does not exist (code `approval_not_found`).
        """
        found = await self.find(workspace, ident)
        if found is None:
            raise NotFound("There is no such approval.", code="approval_not_found")
        return found

    async def save(self, before: Record, after: Record) -> bool:
        """Store a changed approval; return False, with nothing stored, if it was changed since it was read."""
        row = _row(replace(after, etag=before.etag))
        if before.approval.open and not after.approval.open:
            old = f"pending!{before.approval.id}"
            writes: list[Write] = [
                Delete(row.partition, old, before.etag),
                Insert(replace(row, etag="")),
            ]
        else:
            writes = [Replace(row)]
        try:
            await self._tables.commit(TABLE, writes)
        except (RowChanged, RowExists):
            return False
        return True

    async def of_run(self, workspace: str, run_id: str) -> Sequence[Record]:
        """Return all approvals of a run."""
        found: list[Record] = []
        for prefix in ("pending!", "closed!"):
            rows = every(self._tables, TABLE, Span.prefix(workspace, f"{prefix}{run_id}."))
            found += readable([row async for row in rows], _record, "approval")
        return list({record.approval.id: record for record in found}.values())

    async def list(
        self, workspace: str, limit: int, after: str | None = None, *, pending: bool, where: Mapping[str, str]
    ) -> tuple[Sequence[Record], str | None]:
        """Return up to `limit` approvals, ordered by run id, and the id to continue after; None at the end.

        Args:
            workspace: The workspace.
            limit: How many at most.
            after: The id to continue after.
            pending: Whether to list pending approvals, else those that are closed.
            where: Required values of `state`, `agent`, `run` or `session`.
        """
        prefix = "pending!" if pending else "closed!"
        span = replace(Span.prefix(workspace, prefix, after=prefix + after if after else None), where=where)
        rows = await first_rows(self._tables, TABLE, span, limit + 1)
        found = list(readable(rows[:limit], _record, "approval"))
        return found, rows[limit - 1].key.removeprefix(prefix) if len(rows) > limit else None

    async def waiting(self, workspace: str) -> tuple[int, datetime | None]:
        """Return how many approvals wait, at most 1000, and since when the oldest does; None if none waits."""
        rows = await first_rows(self._tables, TABLE, Span.prefix(workspace, "pending!"), _MOST_COUNTED)
        found = [record.approval.requested_at for record in readable(rows, _record, "approval")]
        return len(rows), min(found, default=None)

    async def erase(self, workspace: str, run_id: str) -> int:
        """Erase arguments, excerpts, results and the user from a run's approvals; decisions stay. Return how many."""
        count = 0
        for found in await self.of_run(workspace, run_id):
            record: Record | None = found
            while record is not None:
                approval = record.approval
                place = replace(approval.place, user_id="")
                if approval.open:
                    approval = replace(approval, state=State.WITHDRAWN)
                bare = Record(replace(approval, place=place))
                if await self.save(record, bare):
                    count += 1
                    break
                record = await self.find(workspace, approval.id)
        return count


def cut(result: str) -> str:
    """Return the result, cut to MAX_RESULT_CHARS."""
    return result if len(result) <= MAX_RESULT_CHARS else result[:MAX_RESULT_CHARS] + _CUT


def _row(record: Record) -> Row:
    approval = record.approval
    prefix = "pending!" if approval.open else "closed!"
    values: dict[str, Any] = {
        "approval": _APPROVAL.dump(approval),
        "arguments": record.arguments,
        "asked": record.asked,
        "excerpt": record.excerpt,
        "result": record.result,
        "state": approval.state.value,
        "agent": approval.place.agent,
        "run": approval.place.run_id,
        "session": approval.place.session_id,
    }
    return Row(approval.place.workspace, prefix + approval.id, values, record.etag)


def _record(row: Row) -> Record:
    result = row.values.get("result")
    return Record(
        _APPROVAL.load(row.text("approval")),
        row.text("arguments"),
        row.text("asked"),
        row.text("excerpt"),
        None if result is None else str(result),
        row.etag,
    )
