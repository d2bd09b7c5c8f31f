"""Where a run's end is to be reported, and the index of callbacks that are due.

Table `callbacks`, partition `due`, row `{time}!{workspace}!{session}!{run}!{redriven}`: one for each end of a run that
has a callback, written before the run's row says that it ended. There may be one too many, never one too few: whoever
reads an entry looks at the run itself. Entries of push notifications go on with `!{push}!`, and those of states before
the end with `{state}.{attempt}`.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kernel.ids import new_id
from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Insert, Replace, Row, RowChanged, RowExists, Span, Upsert, Write, every

if TYPE_CHECKING:
    from kernel.tables import Tables
    from lifecycle.conversations.run import Run

TABLE = "callbacks"
_PARTITION = "due"


A2A = "a2a"
"""The form of versions 1.x of the Agent2Agent protocol: a `StreamResponse`."""
A2A_OLD = "a2a-0.3"
"""The form of its version 0.3: the task."""
_STATES = ("running", "waiting")
"""States before a run's end that are pushed, in the order an attempt comes to them."""


@dataclass(frozen=True, slots=True)
class Push:
    """Where the states of a run are pushed to, as clients of the Agent2Agent protocol set it.

    Attributes:
        url: The webhook; as secret as a callback's.
        id: What the configuration is known by; empty for the task's id.
        token, authorization: Headers of the notifications (X-A2A-Notification-Token, Authorization); secrets.
        format: `a2a` or `a2a-0.3`: in which version's form.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    url: str
    id: str = ""
    token: str = ""
    authorization: str = ""
    format: str = A2A

    @property
    def key(self) -> str:
        """What stands for its id where a caller's own text may not."""
        return hashlib.sha256(self.id.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Callback:
    """Where a run's end is reported: a webhook's URL, or a Service Bus queue of the app's own namespace.

    Attributes:
        url: The webhook's URL. Treated as a secret, as it is one with many receivers: it is in no log and no response.
        secret_setting: Name of the app setting with the secret that the webhook is signed with; empty for no signature.
        queue: The reply queue.
        session_id: SessionId of the reply; empty for the run's own session.
        correlation_id: CorrelationId of the reply; empty for the run's id.
        pushes: Where its states are pushed to beside that.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    url: str = ""
    secret_setting: str = ""
    queue: str = ""
    session_id: str = ""
    correlation_id: str = ""
    pushes: tuple[Push, ...] = ()


@dataclass(frozen=True, slots=True)
class RunEnd:
    """An end of a run, or a state before it, that is to be reported, or was and is to be forgotten.

    Attributes:
        workspace: The run's workspace.
        session_id: The run's session.
        run_id: The run.
        redriven: How often the run had been redriven before this end.
        created_at: When the run was accepted, aware UTC.
        ended_at: When it ended, or came to the state, aware UTC.
        attempts: How often its report was begun.
        reported: Whether nothing is left to do but to forget what became of it.
        row: As stored; its key and ETag are what a step is claimed by.
        push: Key of the push it goes to; empty for the callback itself.
        state: The state before the end with its attempt, like `waiting.2`; empty for the end.
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
    push: str = ""
    state: str = ""

    def target(self, run: Run) -> Callback | Push | None:
        """Return where it is reported to; None where that is set no more."""
        callback = run.input.callback
        if callback is None or not self.push:
            return callback if callback and (callback.url or callback.queue) else None
        return next((push for push in callback.pushes if push.key == self.push), None)

    def over(self, run: Run) -> bool:
        """Return whether the run has gone on from there, so that there is nothing to report any more."""
        if not self.state or run.redriven > self.redriven:
            return run.redriven > self.redriven or run.never_queued
        return run.redriven == self.redriven and (run.finished or _progress(_state(run)) > _progress(self.state))

    def ahead(self, run: Run) -> bool:
        """Return whether the run has yet to come there."""
        if run.redriven < self.redriven or not self.state:
            return run.redriven < self.redriven or not run.finished
        return _progress(_state(run)) < _progress(self.state)


def ends_of(run: Run) -> Sequence[RunEnd]:
    """Return the end that a finished run has come to, one for each place it is reported to, as `enter` stores them."""
    callback, ended = run.input.callback, run.finished_at
    if callback is None or ended is None:
        return ()
    own = [_entry(run, ended)] if callback.url or callback.queue else []
    return [*own, *(_entry(run, ended, push.key) for push in callback.pushes)]


def reports_of(before: Run | None, after: Run) -> Sequence[RunEnd]:
    """Return what is to be reported of a change of a run: its end to everybody, work and waiting to pushes."""
    callback = after.input.callback
    if callback is None or (after.finished and before is not None and before.finished):
        return ()
    if after.finished:
        return ends_of(after)
    waits = after.state.value == "waiting" and after.error is not None  # for somebody, not for its turn
    if not (waits or after.state.value == "running") or (before and _told(before) == _told(after)):
        return ()
    at = after.last.claimed_at or after.created_at
    return [_entry(after, at, push.key, _state(after)) for push in callback.pushes]


class RunEnds:
    """The index of ends of runs that have to be reported."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def enter(self, reports: Sequence[RunEnd]) -> None:
        """Enter what is to be reported; call it before the run is stored so. Entering it again changes nothing."""
        await self._tables.commit(TABLE, [Upsert(report.row) for report in reports])

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


def _entry(run: Run, at: datetime, push: str = "", state: str = "") -> RunEnd:
    who = (run.workspace, run.session_id, run.id, run.redriven)
    end = RunEnd(*who, run.created_at, at, 0, reported=False, row=_NO_ROW, push=push, state=state)
    return replace(end, row=Row(_PARTITION, _key(end, at), _values(end)))


def _state(run: Run) -> str:
    return f"{run.state.value}.{run.attempt}"


def _told(run: Run) -> tuple[str, bool]:
    return run.state.value, run.error is None and run.state.value == "waiting"


def _progress(state: str) -> tuple[int, int]:
    """Return how far a state is, for comparing: its attempt, and its place within it; being queued again is past it."""
    name, _, attempt = state.partition(".")
    return int(attempt), _STATES.index(name) if name in _STATES else len(_STATES)


def _key(end: RunEnd, at: datetime) -> str:
    more = (end.push, end.state) if end.push else ()
    return "!".join((_stamp(at), end.workspace, end.session_id, end.run_id, str(end.redriven), *more))


def _values(end: RunEnd) -> dict[str, datetime | int | bool]:
    return {
        "created_at": end.created_at,
        "ended_at": end.ended_at,
        "attempts": end.attempts,
        "reported": end.reported,
    }


def _end(row: Row) -> RunEnd:
    _, workspace, session_id, run_id, redriven, *more = row.key.split("!")
    push, state = more or ("", "")
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
        push=push,
        state=state,
    )


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S%f")
