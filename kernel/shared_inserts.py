"""Inserting rows together: what comes for a partition while it is being written shares the next transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from kernel.tables import MAX_WRITES, Insert, Row, RowExists, RowTooLarge, Tables

_MOST_CHARACTERS = 500_000
"""Characters of a transaction that several share, far below the 4 MiB that one holds."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """Rows that somebody waits for, and what came of them."""

    rows: Sequence[Row]
    done: bool = False
    error: Exception | None = None

    @property
    def characters(self) -> int:
        return sum(len(value) for row in self.rows for value in row.values.values() if isinstance(value, str))


@dataclass(slots=True)
class _Queue:
    """What waits for one partition."""

    waiting: list[_Waiting] = field(default_factory=list[_Waiting])
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class SharedInserts:
    """Inserts rows of one table; each caller's rows are inserted all or none."""

    def __init__(self, tables: Tables, table: str) -> None:
        self._tables = tables
        self._table = table
        self._queues: dict[str, _Queue] = {}

    async def insert(self, partition: str, rows: Sequence[Row]) -> None:
        """Insert the rows, in one transaction with others' if they come at the same time.

        Raises:
            RowExists: One of them is there, perhaps by this very call, whose answer was lost.
            RowTooLarge: A row is over 1 MiB, or all together are over 4 MiB.
            Unavailable: They cannot be inserted; they may have been.
        """
        queue, own = self._queues.setdefault(partition, _Queue()), _Waiting(rows)
        queue.waiting.append(own)
        try:
            async with queue.lock:
                if not own.done:
                    await self._lead(queue, own)
        finally:
            if own in queue.waiting:
                queue.waiting.remove(own)
            if not queue.waiting:
                self._queues.pop(partition, None)
        if own.error is not None:
            raise own.error

    async def _lead(self, queue: _Queue, own: _Waiting) -> None:
        """Insert what waits as far as it fits, this first; who is stopped meanwhile leaves the others waiting."""
        batch = _fitting([own, *(each for each in queue.waiting if each is not own)])
        try:
            await self._tables.commit(self._table, [Insert(row) for each in batch for row in each.rows])
        except (RowExists, RowTooLarge) as error:
            if len(batch) > 1:  # one of them is there already, and perhaps all, if an answer was lost
                await self._tables.commit(self._table, [Insert(row) for row in own.rows])
                batch = [own]
            else:
                own.error = error
        except Exception as error:  # noqa: BLE001 - raised to each of its callers
            for each in batch:
                each.error = error
        for each in batch:
            each.done = True
        queue.waiting = [each for each in queue.waiting if not each.done]


def _fitting(waiting: Sequence[_Waiting]) -> Sequence[_Waiting]:
    """Return as many of them, from the first on, as one transaction takes; the first always."""
    batch, writes, characters, keys = list[_Waiting](), 0, 0, set[str]()
    for each in waiting:
        writes, characters = writes + len(each.rows), characters + each.characters
        if batch and (writes > MAX_WRITES or characters > _MOST_CHARACTERS or not keys.isdisjoint(_keys(each))):
            break
        batch.append(each)
        keys |= _keys(each)
    return batch


def _keys(waiting: _Waiting) -> set[str]:
    return {row.key for row in waiting.rows}
