"""Joins concurrent inserts into a partition: what arrives during a transaction shares the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from kernel.tables import MAX_WRITES, Insert, Row, RowExists, RowTooLarge, Tables

_MOST_CHARACTERS = 500_000
"""Most characters of a shared transaction, far below the limit of 4 MiB."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """Rows that a caller waits for, and their outcome."""

    rows: Sequence[Row]
    done: bool = False
    error: Exception | None = None

    @property
    def characters(self) -> int:
        return sum(len(value) for row in self.rows for value in row.values.values() if isinstance(value, str))


@dataclass(slots=True)
class _Queue:
    """Pending inserts of one partition."""

    waiting: list[_Waiting] = field(default_factory=list[_Waiting])
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class SharedInserts:
    """Inserts rows of one table; each caller's rows are inserted together or not at all."""

    def __init__(self, tables: Tables, table: str) -> None:
        self._tables = tables
        self._table = table
        self._queues: dict[str, _Queue] = {}

    async def insert(self, partition: str, rows: Sequence[Row]) -> None:
        """Insert the rows, in one transaction with concurrent callers'.

        Raises:
            RowExists: One of them exists, perhaps by this call itself, whose response was lost.
            RowTooLarge: A row exceeds 1 MiB, or all together 4 MiB.
            Unavailable: They may or may not have been inserted.
        """
        queue, own = self._queues.setdefault(partition, _Queue()), _Waiting(rows)
        queue.waiting.append(own)
        try:
            async with queue.lock:
                if not own.done:
                    await self._insert_queued(queue, own)
        finally:
            if own in queue.waiting:
                queue.waiting.remove(own)
            if not queue.waiting:
                self._queues.pop(partition, None)
        if own.error is not None:
            raise own.error

    async def _insert_queued(self, queue: _Queue, own: _Waiting) -> None:
        """Insert as much of the queue as fits, `own` first; if this caller is cancelled, the others continue."""
        batch = _fitting([own, *(each for each in queue.waiting if each is not own)])
        try:
            await self._tables.commit(self._table, [Insert(row) for each in batch for row in each.rows])
        except (RowExists, RowTooLarge) as error:
            if len(batch) > 1:  # one exists already, or all do, if a response was lost
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
    """Return as many callers' rows, from the first on, as fit one transaction; at least the first."""
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
