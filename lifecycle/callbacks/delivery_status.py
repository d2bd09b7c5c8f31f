"""Delivery status of callbacks: one row for each place a run's end is reported to, kept for `KEEP_FOR`.

Table `callbacks`, partition `of!{workspace}`, newest run first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.codec import JsonCodec, readable
from kernel.ids import newest_first
from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Row, RowChanged, Span, Upsert, first_rows
from lifecycle.conversations.run_callbacks import TABLE
from llmops.notifications.delivery_history import DeliveryState

if TYPE_CHECKING:
    from kernel.tables import Tables


@dataclass(frozen=True, slots=True)
class CallbackRecord:
    """Delivery status of a run's latest callback.

    Attributes:
        id: Id of the report, as sent to the receiver.
        run_id: The run.
        created_at: When the run was accepted, aware UTC.
        agent: The run's agent.
        target: Where the report goes: a host, or a queue.
        redriven: How often the run had been redriven before this end.
        state: See `DeliveryState`.
        attempts: How often it was sent.
        status: HTTP status of the last answer; None when there was none.
        error: Code of the last attempt's error; None after a success.
        last_at: When it was last sent, aware UTC; None when it was given up unsent.
        next_at: When it will be sent again; None for never.
        push: Key of the push it went to; empty for the callback itself.
    """

    id: str
    run_id: str
    created_at: datetime
    agent: str
    target: str
    redriven: int
    state: DeliveryState
    attempts: int
    status: int | None
    error: str | None
    last_at: datetime | None
    next_at: datetime | None
    push: str = ""


_RECORD = JsonCodec(CallbackRecord)


class CallbackRecords:
    """Stores and reads the delivery status of callbacks."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def put(self, workspace: str, record: CallbackRecord) -> None:
        """Store the status of a run's callback, replacing the previous one."""
        values = {"record": _RECORD.dump(record), "state": record.state.value}
        key = _key(record.created_at, record.run_id, record.push)
        await self._tables.commit(TABLE, [Upsert(Row(_partition(workspace), key, values))])

    async def get(self, workspace: str, created_at: datetime, run_id: str, push: str = "") -> CallbackRecord | None:
        """Return the status of a run's callback, or of one of its pushes; None before its first attempt."""
        row = await self._tables.get(TABLE, _partition(workspace), _key(created_at, run_id, push))
        return next(readable([row], _record, "callback"), None) if row else None

    async def of_run(self, workspace: str, created_at: datetime, run_id: str) -> CallbackRecord | None:
        """Return the status of a run's callback, or else of one of its pushes; None before the first attempt."""
        span = Span.prefix(_partition(workspace), _key(created_at, run_id, ""))
        rows = await first_rows(self._tables, TABLE, span, 1)
        return next(readable(rows, _record, "callback"), None)

    async def list(
        self, workspace: str, limit: int, after: str | None = None, state: DeliveryState | None = None
    ) -> tuple[Sequence[CallbackRecord], str | None]:
        """Return up to `limit` (1-999) records, newest run first, and the key to continue after; None at the end."""
        where = {} if state is None else {"state": state.value}
        span = Span(_partition(workspace), key_from=None if after is None else f"{after}\x20", where=where)
        rows = await first_rows(self._tables, TABLE, span, limit + 1)
        found = list(readable(rows[:limit], _record, "callback"))
        return found, rows[limit - 1].key if len(rows) > limit else None

    async def forget(self, workspace: str, created_at: datetime, run_id: str, push: str) -> None:
        """Remove the status of a run's callback or push; does nothing if there is none."""
        try:
            await self._tables.commit(TABLE, [Delete(_partition(workspace), _key(created_at, run_id, push))])
        except RowChanged:
            return


def _partition(workspace: str) -> str:
    return f"of!{workspace}"


def _key(created_at: datetime, run_id: str, push: str) -> str:
    return newest_first(created_at, f"{run_id}.{push}" if push else run_id)


def _record(row: Row) -> CallbackRecord:
    return _RECORD.load(row.text("record"))
