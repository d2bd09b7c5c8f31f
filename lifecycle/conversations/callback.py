"""Where a run's end is to be reported, and the index of callbacks that are due.

Table `callbacks`, partition `due`, row `{time}!{workspace}!{session}!{run}!{redriven}`: one for each end of a run that
has a callback, written before the run's row says that it ended. There may be entries too many, never too few: readers
check the run itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kernel.ids import new_id
from kernel.tables import Delete, Insert, Replace, Row, RowChanged, RowExists, Span, Upsert, Write, every

if TYPE_CHECKING:
    from kernel.tables import Tables
    from lifecycle.conversations.run import Run

TABLE = "callbacks"
_PARTITION = "due"


@dataclass(frozen=True, slots=True)
class Callback:
    """Where a run's end is reported: a webhook's URL, or a Service Bus queue of the app's own namespace.

    Attributes:
        url: The webhook's URL. Treated as a secret, as it is one with many receivers: it is in no log and no response.
        secret_setting: Name of the app setting with the secret that the webhook is signed with; empty for no signature.
        queue: The reply queue.
        session_id: SessionId of the reply; empty for the run's own session.
        correlation_id: CorrelationId of the reply; empty for the run's id.
        format: Format of the webhook's body: empty for the run, `a2a` or `a2a-0.3` for A2A's push notification.
        token, authorization: Headers of push notifications (X-A2A-Notification-Token, Authorization); secrets.
        id: Id of the push notification's configuration; empty for the task's id.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    url: str = ""
    secret_setting: str = ""
    queue: str = ""
    session_id: str = ""
    correlation_id: str = ""
    format: str = ""
    token: str = ""
    authorization: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """An end of a run that has to be reported, or whose delivery status has to be deleted.

    Attributes:
        workspace: The run's workspace.
        session_id: The run's session.
        run_id: The run.
        redriven: How often the run had been redriven before this end.
        created_at: When the run was accepted, aware UTC.
        ended_at: When it ended, aware UTC.
        attempts: How often sending its report was begun.
        reported: Whether sending is over, so that only the delivery status is left to delete.
        row: The stored row; its key and ETag are used to claim a step.
    """

    workspace: str
    session_id: str
    run_id: str
    redriven: int
    created_at: datetime
    ended_at: datetime
    attempts: int
    reported: bool
    row: Row


def end_of(run: Run) -> RunEnd:
    """Return the end of a finished run, as `enter` stores it.

    Raises:
        ValueError: The run has not finished.
    """
    if run.finished_at is None:
        msg = "the run has not ended"
        raise ValueError(msg)
    who = (run.workspace, run.session_id, run.id, run.redriven)
    end = RunEnd(*who, run.created_at, run.finished_at, 0, reported=False, row=_NO_ROW)
    return replace(end, row=Row(_PARTITION, _key(end, run.finished_at), _values(end)))


class RunEnds:
    """The index of ends of runs that have to be reported."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def enter(self, run: Run) -> None:
        """Enter the end of a run; call it before the run is stored as ended. Idempotent."""
        await self._tables.commit(TABLE, [Upsert(end_of(run).row)])

    async def again(self, end: RunEnd, at: datetime) -> None:
        """Enter an end to be reported from `at` on, whatever its earlier delivery status."""
        again = replace(end, attempts=0, reported=False)
        await self._tables.commit(TABLE, [Upsert(Row(_PARTITION, _key(end, at), _values(again)))])

    async def due(self, now: datetime) -> AsyncIterator[RunEnd]:
        """Yield the due ends, oldest first."""
        async for row in every(self._tables, TABLE, Span(_PARTITION, key_before=f"{_stamp(now)}~")):
            yield _end(row)

    async def find(self, end: RunEnd) -> RunEnd | None:
        """Return the stored end with the same key; None if there is none."""
        row = await self._tables.get(TABLE, _PARTITION, end.row.key)
        return _end(row) if row else None

    async def move(self, end: RunEnd, at: datetime, *, attempts: int, reported: bool = False) -> RunEnd | None:
        """Reschedule the end and return it; None if another process has claimed it."""
        moved, mover = replace(end, attempts=attempts, reported=reported), new_id()
        row = Row(_PARTITION, _key(end, at), _values(moved) | {"mover": mover})
        if row.key == end.row.key:
            writes: list[Write] = [Replace(replace(row, etag=end.row.etag))]
        else:
            writes = [Delete(_PARTITION, end.row.key, end.row.etag), Insert(row)]
        try:
            etags = await self._tables.commit(TABLE, writes)
        except (RowChanged, RowExists):
            found = await self._tables.get(TABLE, _PARTITION, row.key)
            if found is None or found.text("mover") != mover:
                return None
            return replace(moved, row=found)  # an earlier try of this commit took effect
        return replace(moved, row=replace(row, etag=etags[-1]))

    async def remove(self, end: RunEnd) -> None:
        """Remove an end that this process has claimed."""
        try:
            await self._tables.commit(TABLE, [Delete(_PARTITION, end.row.key, end.row.etag)])
        except RowChanged:
            return  # an earlier try took effect, or another process has it


_NO_ROW = Row("", "", {})


def _key(end: RunEnd, at: datetime) -> str:
    return "!".join((_stamp(at), end.workspace, end.session_id, end.run_id, str(end.redriven)))


def _values(end: RunEnd) -> dict[str, datetime | int | bool]:
    return {
        "created_at": end.created_at,
        "ended_at": end.ended_at,
        "attempts": end.attempts,
        "reported": end.reported,
    }


def _end(row: Row) -> RunEnd:
    _, workspace, session_id, run_id, redriven = row.key.split("!")
    never = datetime.fromtimestamp(0, UTC)
    return RunEnd(
        workspace,
        session_id,
        run_id,
        int(redriven),
        row.moment("created_at") or never,
        row.moment("ended_at") or never,
        row.integer("attempts"),
        reported=row.values.get("reported") is True,
        row=row,
    )


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S%f")
