"""Storage of batches.

Table `batches`. Partition `{workspace}!{batch}`: `batch`, and `item!{number}` for each of its runs to be. Partition
`of!{workspace}` has a row for each batch, newest first, which says whether a line of it names a user. A batch is there
once its row `batch` is: what was written before it of one that never came about is removed by whoever finds it due.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kernel.codec import JsonCodec, if_readable
from kernel.errors import NotFound
from kernel.ids import newest_first
from kernel.tables import (
    MAX_WRITES,
    Delete,
    Insert,
    Replace,
    Row,
    RowChanged,
    RowExists,
    Span,
    Upsert,
    every,
    first_rows,
)
from lifecycle.batches.rules import Batch, Item
from lifecycle.conversations.submission import RunRequest

if TYPE_CHECKING:
    from datetime import datetime

    from kernel.tables import Tables

TABLE = "batches"
_BATCH = JsonCodec(Batch)
USER_ERASED = "user_erased"
"""Why a line is not submitted whose user was erased before it was its turn."""
_MOST_BYTES = 1_000_000
"""Of items that are written at once: a commit takes 4 MiB, and a character up to four bytes there."""


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch as read, and the ETag that a change is guarded by."""

    batch: Batch
    etag: str


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item as read, and why it was refused as it was submitted, as a code; empty where it was not."""

    item: Item
    refused: str


class BatchStore:
    """Writes and reads batches."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def create(self, workspace: str, batch: Batch, items: Sequence[Item]) -> bool:
        """Store the batch, and return whether it is new."""
        home = _home(workspace, batch.id)
        for some in _slices(items):
            await self._tables.commit(TABLE, [Upsert(_item_row(home, item)) for item in some])
        users = any(item.request.user_id is not None for item in items)
        listed = Row(_list(workspace), newest_first(batch.created_at, batch.id), {"users": users})
        await self._tables.commit(TABLE, [Upsert(listed)])
        try:
            await self._tables.commit(TABLE, [Insert(Row(home, "batch", {"batch": _BATCH.dump(batch)}))])
        except RowExists:  # an earlier request for it, or this one, repeated because its answer was lost
            found = await self.find(workspace, batch.id)
            return found is not None and found.batch == batch
        return True

    async def find(self, workspace: str, batch_id: str) -> StoredBatch | None:
        """Return the batch; None when there is none."""
        row = await self._tables.get(TABLE, _home(workspace, batch_id), "batch")
        return StoredBatch(_BATCH.load(row.text("batch")), row.etag) if row else None

    async def get(self, workspace: str, batch_id: str) -> Batch:
        """Return the batch.

        Raises:
            NotFound: There is none of that id.
        """
        if (found := await self.find(workspace, batch_id)) is None:
            raise no_batch(batch_id)
        return found.batch

    async def replace(self, workspace: str, batch: Batch, etag: str) -> str | None:
        """Store the batch in place of the one with the ETag, and return its own; None if that was no longer there."""
        row = Row(_home(workspace, batch.id), "batch", {"batch": _BATCH.dump(batch)}, etag)
        try:
            return (await self._tables.commit(TABLE, [Replace(row)]))[0]
        except RowChanged:
            return None

    async def items(self, workspace: str, batch_id: str, first: int, limit: int) -> Sequence[StoredItem]:
        """Return up to `limit` (1-1000) items in order, from the number on."""
        home = _home(workspace, batch_id)
        span = Span(home, key_from=_key(first), key_before="item!~")
        return [_item(row) for row in await first_rows(self._tables, TABLE, span, limit)]

    async def refuse(self, workspace: str, batch_id: str, number: int, code: str) -> None:
        """Note why an item was refused, in what is stored of it now: its user may have been erased meanwhile."""
        home = _home(workspace, batch_id)
        while row := await self._tables.get(TABLE, home, _key(number)):
            stored = _item(row)
            if stored.refused == USER_ERASED:
                return
            try:
                await self._tables.commit(TABLE, [Replace(replace(_item_row(home, stored.item, code), etag=row.etag))])
            except RowChanged:
                continue
            return

    async def forget_user(self, workspace: str, user_id: str) -> AsyncIterator[int]:
        """Blank the lines that ask in the user's name, and have none submitted whose turn has yet to come.

        Lines are looked for in every batch that is kept and names users. Yields, for each of these batches, how many
        lines were blanked.
        """
        async for listed in every(self._tables, TABLE, Span(_list(workspace))):
            if listed.values.get("users") is not False:  # batches of earlier releases do not say
                yield await self._forget_user(workspace, listed.key.partition("!")[2], user_id)

    async def _forget_user(self, workspace: str, batch_id: str, user_id: str) -> int:
        home, first, count = _home(workspace, batch_id), 0, 0
        found = await self.find(workspace, batch_id)
        submitted = found.batch.progress.submitted if found else 0
        while True:
            span = Span(home, key_from=_key(first), key_before="item!~")
            if not (rows := await first_rows(self._tables, TABLE, span, MAX_WRITES)):
                return count
            changes: list[Replace] = []
            for row in rows:
                stored = _item(row)
                if stored.item.request.user_id == user_id:
                    blank = replace(stored.item, request=RunRequest(query=""))
                    refused = stored.refused if blank.number < submitted else USER_ERASED
                    changes.append(Replace(replace(_item_row(home, blank, refused), etag=row.etag)))
            if changes:
                try:
                    await self._tables.commit(TABLE, changes)
                except RowChanged:
                    continue  # one of them was refused meanwhile
            count += len(changes)
            first = _item(rows[-1]).item.number + 1

    async def list(self, workspace: str, limit: int, after: str | None = None) -> tuple[Sequence[Batch], str | None]:
        """Return up to `limit` (1-999) batches, newest first, and the key to continue after; None at the end."""
        span = Span(_list(workspace), key_from=None if after is None else f"{after}\x20")
        rows = await first_rows(self._tables, TABLE, span, limit + 1)
        idents = [row.key.partition("!")[2] for row in rows[:limit]]
        found = [await if_readable(self.find(workspace, ident), "batch", ident) for ident in idents]
        batches = [each.batch for each in found if each is not None]
        return batches, rows[limit - 1].key if len(rows) > limit else None

    async def remove(self, workspace: str, batch_id: str, created_at: datetime | None) -> None:
        """Remove all that is kept of a batch, its runs apart; None for one that never came about."""
        home = _home(workspace, batch_id)
        while rows := await first_rows(self._tables, TABLE, Span(home, key_from="item!"), MAX_WRITES):
            try:
                await self._tables.commit(TABLE, [Delete(home, row.key) for row in rows])
            except RowChanged:
                continue  # somebody else is at it
        if created_at is not None:
            for partition, key in ((_list(workspace), newest_first(created_at, batch_id)), (home, "batch")):
                try:
                    await self._tables.commit(TABLE, [Delete(partition, key)])
                except RowChanged:
                    continue


def no_batch(batch_id: str) -> NotFound:
    """Return the error for a batch that is not there."""
    return NotFound(f"There is no batch {batch_id!r}.", code="batch_not_found")


def _slices(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Yield the items in order, as many at a time as one commit takes."""
    some: list[Item] = []
    size = 0
    for item in items:
        length = len(item.request.query) + len(item.request.context or "") + 2000
        if some and (len(some) == MAX_WRITES or size + length > _MOST_BYTES):
            yield some
            some, size = [], 0
        some.append(item)
        size += length
    yield some


def _home(workspace: str, batch_id: str) -> str:
    return f"{workspace}!{batch_id}"


def _list(workspace: str) -> str:
    return f"of!{workspace}"


def _key(number: int) -> str:
    return f"item!{number:06d}"


def _item_row(home: str, item: Item, refused: str = "") -> Row:
    request = item.request.model_dump_json(exclude_unset=True)
    values = {"id": item.id, "agent": item.agent, "request": request, "refused": refused}
    return Row(home, _key(item.number), values)


def _item(row: Row) -> StoredItem:
    request = RunRequest.model_validate_json(row.text("request"))
    number = int(row.key.partition("!")[2])
    return StoredItem(Item(number, row.text("id"), row.text("agent"), request), row.text("refused"))
