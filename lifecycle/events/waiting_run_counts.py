"""Which runs wait, from the events of a workspace: pure rules of the rows that `DailyEventCounts` keeps.

Row `wait!{run}` of a shard of table `events` is there from the run's `run.waiting` until the next event that says that
it was taken, queued or ended, or until its session is erased.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Row, Upsert

if TYPE_CHECKING:
    from kernel.journal import Event

PREFIX = "wait!"
_WAITS = "run.waiting"
_GOES_ON = frozenset({"run.stage", "run.queued", "run.retrying"})
_ERASED = "session.erased"
_MOST = 64
"""Runs that come to wait, of one transaction: with the counts of some days they fit into it."""


@dataclass(frozen=True, slots=True)
class WaitingRuns:
    """Runs that wait.

    Attributes:
        count: How many, whatever they wait for.
        held: Of these, those that wait for no reason of their own: their session is paused, or another run of it waits.
    """

    count: int
    held: int


def moves(events: Iterable[Event]) -> bool:
    """Return whether any of the events may make a run wait or go on."""
    return any(event.name in (_WAITS, _ERASED) or event.name in _GOES_ON for event in events)


def at_once(events: Sequence[Event]) -> int:
    """Return how many of the events, from the first on, may be counted together; all of them, mostly."""
    run_ids: set[str] = set()
    for number, event in enumerate(events):
        run_ids.add(str(event.data.get("run_id")) if event.name == _WAITS else "")
        if len(run_ids) > _MOST:
            return number
    return len(events)


def changes(partition: str, rows: Sequence[Row], events: Iterable[Event]) -> tuple[Sequence[Upsert], Sequence[Delete]]:
    """Return what the events change in the rows of a shard: those that are new, and those that are gone.

    Args:
        partition: The shard.
        rows: All its rows.
        events: The events, in their order.
    """
    before = {row.key: row for row in rows}
    after = dict(before)
    for event in events:
        key = f"{PREFIX}{event.data.get('run_id')}"
        if event.name == _WAITS:
            values = {"session_id": event.data.get("session_id"), "held": bool(event.data.get("held")), "at": event.at}
            after[key] = Row(partition, key, values)
        elif event.name in _GOES_ON:
            after.pop(key, None)
        elif event.name == _ERASED:
            erased = event.data.get("session_id")
            after = {key: row for key, row in after.items() if row.values.get("session_id") != erased}
    new = [Upsert(row) for key, row in after.items() if row is not before.get(key)]
    return new, [Delete(partition, row.key, row.etag) for key, row in before.items() if key not in after]


def counted(rows: Sequence[Row]) -> WaitingRuns:
    """Return how many runs the rows say wait."""
    return WaitingRuns(len(rows), sum(row.values.get("held") is True for row in rows))
