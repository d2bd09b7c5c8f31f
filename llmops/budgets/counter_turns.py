"""Taking turns at a workspace's counters, where several processes change them at once.

Only fairness depends on it; ETags guard what is committed. A process that lost two collisions enters a queue, as a row,
and tries again when no live process has waited longer. A process that commits without a break looks for such rows from
time to time, and enters the queue behind them.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.errors import Unavailable
from kernel.ids import new_id
from kernel.tables import MAX_WRITES, Delete, Row, RowChanged, Span, Tables, Upsert, first_rows

if TYPE_CHECKING:
    from kernel.clock import Clock

_PREFIX = "turn!"
_LOOK_EVERY_S = 0.15
"""How long a process commits without a break before it checks whether others wait, in seconds."""
_LOOK_AFTER = 8
"""How many commits without a break precede such a check; more than one run's calls need."""
_PAUSE_S = 0.01
"""Pause before the next look at the queue, in seconds, for each process ahead."""
_LONGEST_PAUSE_S = 0.2
_LONGEST_WAIT_S = 5.0
"""Longest wait for a turn, in seconds; after it, a process tries without one."""
_BELIEVED_FOR = timedelta(seconds=2)
"""How long a row counts as a waiting process, in seconds; live processes renew it."""


class Turns:
    """One process's turns at the counters of a workspace."""

    def __init__(self, tables: Tables, table: str, workspace: str, clock: Clock) -> None:
        self._tables = tables
        self._table = table
        self._workspace = workspace
        self._clock = clock
        self._key = f"{_PREFIX}{new_id()}"
        self._since: datetime | None = None  # when this process entered the queue; None while it is not in it
        self._renewed = 0.0  # monotonic seconds
        self._looked = 0.0
        self._committed = 0.0
        self._in_a_row = 0  # commits without a break
        self._others = False

    async def given_way(self) -> bool:
        """Let waiting processes go first; return whether there were any.

        Costs nothing while this process commits only now and then, and one read per `_LOOK_EVERY_S` once it has
        committed `_LOOK_AFTER` times without a break.
        """
        now = time.monotonic()
        if now - self._committed > _LOOK_EVERY_S:
            self._looked, self._others, self._in_a_row = now, False, 0
        if not self._others and (now - self._looked < _LOOK_EVERY_S or self._in_a_row < _LOOK_AFTER):
            return False
        self._looked = now
        self._others = any(row.key != self._key for row in await self._queue())
        if self._others:
            await self.wait()
        return self._others

    async def wait(self) -> None:
        """Enter the queue; return when it is this process's turn, or after the longest wait."""
        if self._since is None:
            self._since = self._clock()
            await self._enter()
        give_up = time.monotonic() + _LONGEST_WAIT_S
        while time.monotonic() < give_up:
            queue = await self._queue()
            ahead = next((place for place, row in enumerate(queue) if row.key == self._key), 0)
            if not ahead:
                return
            if time.monotonic() - self._renewed > _BELIEVED_FOR.total_seconds() / 2:
                await self._enter()
            pause = min(_LONGEST_PAUSE_S, _PAUSE_S * ahead)
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - spreads readers

    async def done(self) -> None:
        """Note that a transaction was committed, and leave the queue."""
        self._committed = time.monotonic()
        self._in_a_row += 1
        if self._since is None:
            return
        self._since = None
        try:
            await self._tables.commit(self._table, [Delete(self._workspace, self._key)])
        except (RowChanged, Unavailable):
            return  # the row was deleted, or expires soon

    async def _queue(self) -> Sequence[Row]:
        """Return the rows of waiting processes, the longest wait first."""
        oldest = self._clock() - _BELIEVED_FOR
        try:
            rows = await first_rows(self._tables, self._table, Span.prefix(self._workspace, _PREFIX), MAX_WRITES)
        except Unavailable:
            return []
        waiting = [(row.moment("since"), row) for row in rows if (at := row.moment("renewed")) and at > oldest]
        return [row for _, row in sorted(((s, r) for s, r in waiting if s), key=lambda item: (item[0], item[1].key))]

    async def _enter(self) -> None:
        self._renewed = time.monotonic()
        values = {"since": self._since, "renewed": self._clock()}
        try:
            await self._tables.commit(self._table, [Upsert(Row(self._workspace, self._key, values))])
        except Unavailable:
            return  # without a place in the queue, the process simply tries
