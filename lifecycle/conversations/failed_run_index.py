"""Index of runs that failed but might succeed when redriven, whatever happened to their messages.

Table `failedruns`, partition workspace, row `{time accepted}!{run}`: written before the run's row says that it failed,
and removed after it was redriven or dismissed. There may be entries too many, never too few.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Row, RowChanged, Span, Upsert, first_rows

if TYPE_CHECKING:
    from kernel.tables import Tables
    from lifecycle.conversations.run import Run

TABLE = "failedruns"


@dataclass(frozen=True, slots=True)
class FailedRun:
    """An entry: the run, its session, and the entry's key and ETag."""

    workspace: str
    session_id: str
    run_id: str
    key: str
    etag: str


class FailedRuns:
    """The index of failed runs."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def enter(self, run: Run) -> None:
        """Enter the run; call it before the run is stored as failed. Idempotent."""
        row = Row(run.workspace, _key(run), {"session_id": run.session_id})
        await self._tables.commit(TABLE, [Upsert(row)])

    async def after(self, workspace: str, key: str, limit: int) -> Sequence[FailedRun]:
        """Return up to `limit` entries after the key, oldest accepted first."""
        rows = await first_rows(self._tables, TABLE, Span(workspace, key_from=f"{key} " if key else None), limit)
        return [
            FailedRun(workspace, row.text("session_id"), row.key.partition("!")[2], row.key, row.etag) for row in rows
        ]

    async def find(self, run: Run) -> FailedRun | None:
        """Return the run's entry; None if there is none."""
        row = await self._tables.get(TABLE, run.workspace, _key(run))
        return FailedRun(run.workspace, run.session_id, run.id, row.key, row.etag) if row else None

    async def remove(self, entry: FailedRun) -> None:
        """Remove the entry, unless the run was entered again since it was read; does nothing if it is gone."""
        try:
            await self._tables.commit(TABLE, [Delete(entry.workspace, entry.key, entry.etag)])
        except RowChanged:
            return


def _key(run: Run) -> str:
    return f"{int(run.created_at.timestamp() * 1000):012x}!{run.id}"
