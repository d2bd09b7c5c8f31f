"""Storage of workflow runs: one row each with its outbox, so that a decision and its effects are one write.

Table `workflowruns`, partition `{workspace}!{shard}`: `run!{id}` the workflow run · `at!{workflow}!{newest first}` its
entry in the list, written in the same transaction. A long input is stored outside the row (`kernel.large_texts`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace

from kernel.codec import JsonCodec, if_readable
from kernel.ids import newest_first
from kernel.large_texts import LargeText, Owner, Texts
from kernel.lazy_dataclass import dataclass
from kernel.tables import Insert, Replace, Row, RowChanged, RowExists, Span, Tables, first_rows
from lifecycle.workflows.workflow_run import WorkflowRun

TABLE = "workflowruns"
SHARDS = 8
"""Number of partitions of a workspace's workflow runs, so that none exceeds the service's 2,000 rows a second."""

_RUN = JsonCodec(WorkflowRun)
_WHERE = JsonCodec(LargeText)
_INPUT = "input"
"""Property of a row with the location of its long input."""


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A workflow run as read, its row's ETag, and the location of its input if that is long; else empty."""

    run: WorkflowRun
    etag: str
    where: str = ""


class WorkflowRuns:
    """Stores and reads workflow runs."""

    def __init__(self, tables: Tables, texts: Texts) -> None:
        self._tables = tables
        self._texts = texts

    async def find(self, workspace: str, ident: str) -> StoredRun | None:
        """Return the workflow run; None if it does not exist."""
        row = await self._tables.get(TABLE, home(workspace, ident), f"run!{ident}")
        return await self._read(row) if row else None

    async def add(self, run: WorkflowRun) -> StoredRun | None:
        """Store a new workflow run; return None if its id exists."""
        row = await self._row(run, None)
        listed = Row(row.partition, f"at!{run.workflow}!{newest_first(run.created_at, run.id)}", {"run_id": run.id})
        try:
            etag, _ = await self._tables.commit(TABLE, [Insert(row), Insert(listed)])
        except RowExists:
            return None
        return StoredRun(run, etag, row.text(_INPUT))

    async def save(self, before: StoredRun, run: WorkflowRun) -> StoredRun | None:
        """Store a changed workflow run; return None if it was changed since it was read."""
        row = await self._row(run, before)
        try:
            (etag,) = await self._tables.commit(TABLE, [Replace(row)])
        except RowChanged:
            return None
        return StoredRun(run, etag, row.text(_INPUT))

    async def page(
        self, workspace: str, workflow: str, limit: int, after: str | None
    ) -> tuple[Sequence[WorkflowRun], str | None]:
        """Return up to `limit` of a workflow's runs, newest first, and the key to continue after; None at the end."""
        prefix = f"at!{workflow}!"
        spans = [
            Span.prefix(f"{workspace}!{shard}", prefix, after=f"{prefix}{after}" if after else None)
            for shard in range(SHARDS)
        ]
        pages = await asyncio.gather(*(first_rows(self._tables, TABLE, span, limit + 1) for span in spans))
        rows = sorted((row for page in pages for row in page), key=lambda row: row.key)
        idents = [row.text("run_id") for row in rows[:limit]]
        found = await asyncio.gather(
            *(if_readable(self.find(workspace, ident), "workflow run", ident) for ident in idents)
        )
        more = rows[limit - 1].key.removeprefix(prefix) if len(rows) > limit else None
        return [stored.run for stored in found if stored is not None], more

    async def erase_texts(self, workspace: str, ident: str) -> None:
        """Delete the texts that are stored outside the row of a workflow run."""
        await self._texts.erase(workspace, _session(ident))

    async def _row(self, run: WorkflowRun, before: StoredRun | None) -> Row:
        """Return the row of a workflow run, after storing a long input that is not stored yet."""
        text, where = run.request.input, ""
        if before is not None and before.run.request.input == text:
            where = before.where
        elif not isinstance(kept := await self._texts.keep(_owner(run), "input", text), str):
            where = _WHERE.dump(kept)
        stored = replace(run, request=replace(run.request, input="")) if where else run
        values = {"run": _RUN.dump(stored), "state": run.state.value, _INPUT: where or None}
        return Row(home(run.workspace, run.id), f"run!{run.id}", values, before.etag if before else "")

    async def _read(self, row: Row) -> StoredRun:
        run, where = _RUN.load(row.text("run")), row.text(_INPUT)
        if where:
            text = await self._texts.whole(_WHERE.load(where))
            run = replace(run, request=replace(run.request, input=text))
        return StoredRun(run, row.etag, where)


def _owner(run: WorkflowRun) -> Owner:
    return Owner(run.workspace, _session(run.id), run.id)


def _session(ident: str) -> str:
    """Return the owner of texts in place of a session's id; no session's id begins with a tilde."""
    return f"~workflow:{ident}"


def home(workspace: str, ident: str) -> str:
    """Return the partition of a workflow run."""
    return f"{workspace}!{hashlib.sha256(ident.encode()).digest()[0] % SHARDS}"
