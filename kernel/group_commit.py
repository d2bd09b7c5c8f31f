"""Group commit: what is asked for while a transaction is under way goes into the next one together.

Changes of one thing (a partition, a session) queue up. Whoever is first commits as many of them as one transaction
takes and tells their callers what came of it; the next one does the same with those that have come meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from kernel.tables import MAX_WRITES, Insert, Row, RowExists, RowTooLarge, Tables

_MOST_CHARACTERS = 500_000
"""Characters of a transaction of several callers' rows, far below the 4 MiB that one holds."""


@dataclass(slots=True, eq=False)
class Request:
    """A change that a caller waits for; `error` is raised to the caller."""

    done: bool = field(default=False, init=False)
    error: Exception | None = field(default=None, init=False)

    def finish(self, error: Exception | None = None) -> None:
        """Say that it has taken place, or why it has not."""
        self.done, self.error = True, error


K = TypeVar("K", bound=Hashable)
R = TypeVar("R", bound=Request)


@dataclass(slots=True)
class Group(Generic[K, R]):
    """The changes of one thing that this process has to make, in the order they were asked for."""

    key: K
    waiting: list[R] = field(default_factory=list[R])
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class GroupCommit(Generic[K, R]):
    """Commits changes of the same thing together; changes of different things do not wait for one another."""

    def __init__(
        self,
        choose: Callable[[Sequence[R]], Sequence[R]],
        commit: Callable[[Group[K, R], Sequence[R]], Awaitable[None]],
        single: tuple[type[Exception], ...] = (),
    ) -> None:
        """Set how changes are chosen and committed.

        Args:
            choose: Returns those of the waiting changes that are to be committed together, the first always.
            commit: Commits them and calls `finish` of each it has dealt with, of the first at least. What it raises is
                raised to the callers of all that it has not finished.
            single: Errors after which the first change is committed alone, if there were several: another's change
                may be to blame.
        """
        self._choose = choose
        self._commit = commit
        self._single = single
        self._groups: dict[K, Group[K, R]] = {}

    async def make(self, key: K, request: R) -> None:
        """Make the change, with others of the same thing that come at the same time.

        A caller that is cancelled leaves the others' changes to them; whether its own is made is open.
        """
        group = self._groups.setdefault(key, Group(key))
        group.waiting.append(request)
        try:
            async with group.lock:
                if not request.done:
                    await asyncio.sleep(0)  # those who come at the same moment go together
                    await self._lead(group, request)
        finally:
            group.waiting[:] = [each for each in group.waiting if each is not request and not each.done]
            if not group.waiting and self._groups.get(key) is group:
                del self._groups[key]
        if request.error is not None:
            raise request.error

    async def _lead(self, group: Group[K, R], first: R) -> None:
        batch = self._choose([first, *(each for each in group.waiting if each is not first and not each.done)])
        while True:
            try:
                await self._commit(group, batch)
            except Exception as error:  # noqa: BLE001 - raised to each of its callers
                if len(batch) > 1 and isinstance(error, self._single):
                    batch = batch[:1]
                    continue
                for each in batch:
                    if not each.done:
                        each.finish(error)
            return


@dataclass(slots=True, eq=False)
class _Insertion(Request):
    rows: Sequence[Row]

    @property
    def characters(self) -> int:
        return sum(len(value) for row in self.rows for value in row.values.values() if isinstance(value, str))

    @property
    def keys(self) -> set[str]:
        return {row.key for row in self.rows}


class GroupInserts:
    """Inserts rows of one table; each caller's rows are inserted together or not at all."""

    def __init__(self, tables: Tables, table: str) -> None:
        self._tables = tables
        self._table = table
        # One caller's rows may be there already, and perhaps all of them, if an answer was lost.
        self._commits = GroupCommit[str, _Insertion](_fitting, self._commit, single=(RowExists, RowTooLarge))

    async def insert(self, partition: str, rows: Sequence[Row]) -> None:
        """Insert the rows of a partition, in one transaction with others' if they come at the same time.

        Raises:
            RowExists: One of them is there, perhaps by this very call, whose answer was lost.
            RowTooLarge: A row is over 1 MiB, or all together are over 4 MiB.
            Unavailable: They cannot be inserted; they may have been.
        """
        await self._commits.make(partition, _Insertion(rows))

    async def _commit(self, _: Group[str, _Insertion], batch: Sequence[_Insertion]) -> None:
        await self._tables.commit(self._table, [Insert(row) for each in batch for row in each.rows])
        for each in batch:
            each.finish()


def _fitting(waiting: Sequence[_Insertion]) -> Sequence[_Insertion]:
    """Return as many callers' rows, from the first on, as fit one transaction; at least the first."""
    batch, writes, characters, keys = list[_Insertion](), 0, 0, set[str]()
    for each in waiting:
        writes, characters = writes + len(each.rows), characters + each.characters
        if batch and (writes > MAX_WRITES or characters > _MOST_CHARACTERS or not keys.isdisjoint(each.keys)):
            break
        batch.append(each)
        keys |= each.keys
    return batch
