"""Storage of batches.

Table `batches`. Partition `{workspace}!{batch}`: `batch`, and `item!{number}` for each item. Partition `of!{workspace}`
has a row for each batch, newest first, with a flag whether any line names a user. The row `batch` is written last:
without it, the batch was never created, and what was written before is removed when its due entry comes up.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kernel.codec import JsonCodec, Unreadable, if_readable, skip, stored_model
from kernel.errors import NotFound
from kernel.ids import newest_first
from kernel.lazy_dataclass import dataclass
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
from lifecycle.batches.batch_rules import Batch, Item
from lifecycle.conversations.run_request import RunRequest

if TYPE_CHECKING:
    from datetime import datetime

    from kernel.tables import Tables

TABLE = "batches"
_BATCH = JsonCodec(Batch)
USER_ERASED = "user_erased"
"""Code of items that are not submitted because their user was erased first."""
_MOST_BYTES = 1_000_000
"""Most bytes of items written at once: a commit takes 4 MiB, and a character up to four bytes of it."""


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch as read, and the ETag for changing it."""

    batch: Batch
    etag: str


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item as read, and the error code if it was refused; empty if not."""

    item: Item
    refused: str


class BatchStore:
    """Stores and reads batches."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def create(self, workspace: str, batch: Batch, items: Sequence[Item]) -> bool:
        """Store the batch, and return whether it is new."""
        home = _partition(workspace, batch.id)
        for some in _slices(items):
            await self._tables.commit(TABLE, [Upsert(_item_row(home, item)) for item in some])
        users = any(item.request.user_id is not None for item in items)
        listed = Row(_list_partition(workspace), newest_first(batch.created_at, batch.id), {"users": users})
        await self._tables.commit(TABLE, [Upsert(listed)])
        try:
            await self._tables.commit(TABLE, [Insert(Row(home, "batch", {"batch": _BATCH.dump(batch)}))])
        except RowExists:  # by an earlier request, or by this one, repeated because its response was lost
            found = await self.find(workspace, batch.id)
            return found is not None and found.batch == batch
        return True

    async def find(self, workspace: str, batch_id: str) -> StoredBatch | None:
        """Return the batch and its ETag; None if it does not exist."""
        row = await self._tables.get(TABLE, _partition(workspace, batch_id), "batch")
        return StoredBatch(_BATCH.load(row.text("batch")), row.etag) if row else None

    async def get(self, workspace: str, batch_id: str) -> Batch:
        """Return the batch.

        Raises:
            NotFound: It does not exist.
        """
        if (found := await self.find(workspace, batch_id)) is None:
            raise no_batch(batch_id)
        return found.batch

    async def replace(self, workspace: str, batch: Batch, etag: str) -> str | None:
        """Store the batch over the one with this ETag, and return its new ETag; None if it was changed since."""
        row = Row(_partition(workspace, batch.id), "batch", {"batch": _BATCH.dump(batch)}, etag)
        try:
            return (await self._tables.commit(TABLE, [Replace(row)]))[0]
        except RowChanged:
            return None

    async def items(self, workspace: str, batch_id: str, first: int, limit: int) -> Sequence[StoredItem]:
        """Return up to `limit` (1-1000) items in order, starting with number `first`."""
        home = _partition(workspace, batch_id)
        span = Span(home, key_from=_key(first), key_before="item!~")
        return [_item(row) for row in await first_rows(self._tables, TABLE, span, limit)]

    async def refuse(self, workspace: str, batch_id: str, number: int, code: str) -> None:
        """Store the error code of a refused item.

        The item is read again first: its user may have been erased meanwhile.
        """
        home = _partition(workspace, batch_id)
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
        """Blank the lines that name a user; those that are not submitted yet will be refused (`USER_ERASED`).

        Looks at every stored batch that names users. Yields the number of blanked lines for each of them.
        """
        async for listed in every(self._tables, TABLE, Span(_list_partition(workspace))):
            if listed.values.get("users") is not False:  # rows of earlier releases lack the flag
                yield await self._forget_user(workspace, listed.key.partition("!")[2], user_id)

    async def _forget_user(self, workspace: str, batch_id: str, user_id: str) -> int:
        home, first, count = _partition(workspace, batch_id), 0, 0
        found = await self.find(workspace, batch_id)
        submitted = found.batch.progress.submitted if found else 0
        while True:
            span = Span(home, key_from=_key(first), key_before="item!~")
            if not (rows := await first_rows(self._tables, TABLE, span, MAX_WRITES)):
                return count
            changes: list[Replace] = []
            for row in rows:
                stored = _item(row)
                if _names(row, stored, user_id):
                    blank = replace(stored.item, request=RunRequest(query=""))
                    refused = stored.refused if blank.number < submitted else USER_ERASED
                    changes.append(Replace(replace(_item_row(home, blank, refused), etag=row.etag)))
            if changes:
                try:
                    await self._tables.commit(TABLE, changes)
                except RowChanged:
                    continue  # one of them was changed meanwhile
            count += len(changes)
            first = _item(rows[-1]).item.number + 1

    async def list(self, workspace: str, limit: int, after: str | None = None) -> tuple[Sequence[Batch], str | None]:
        """Return up to `limit` (1-999) batches, newest first, and the key to continue after; None at the end."""
        span = Span(_list_partition(workspace), key_from=None if after is None else f"{after}\x20")
        rows = await first_rows(self._tables, TABLE, span, limit + 1)
        idents = [row.key.partition("!")[2] for row in rows[:limit]]
        found = [await if_readable(self.find(workspace, ident), "batch", ident) for ident in idents]
        batches = [each.batch for each in found if each is not None]
        return batches, rows[limit - 1].key if len(rows) > limit else None

    async def remove(self, workspace: str, batch_id: str, created_at: datetime | None) -> None:
        """Remove a batch, except for its runs; `created_at` is None for one that was never completed."""
        home = _partition(workspace, batch_id)
        while rows := await first_rows(self._tables, TABLE, Span(home, key_from="item!"), MAX_WRITES):
            try:
                await self._tables.commit(TABLE, [Delete(home, row.key) for row in rows])
            except RowChanged:
                continue  # another process removes it
        if created_at is not None:
            for partition, key in ((_list_partition(workspace), newest_first(created_at, batch_id)), (home, "batch")):
                try:
                    await self._tables.commit(TABLE, [Delete(partition, key)])
                except RowChanged:
                    continue


def no_batch(batch_id: str) -> NotFound:
    """Return the error for a batch that does not exist."""
    return NotFound(f"There is no batch {batch_id!r}.", code="batch_not_found")


def _slices(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Yield the items in order, in groups that fit one commit."""
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


def _partition(workspace: str, batch_id: str) -> str:
    return f"{workspace}!{batch_id}"


def _list_partition(workspace: str) -> str:
    return f"of!{workspace}"


def _key(number: int) -> str:
    return f"item!{number:06d}"


def _item_row(home: str, item: Item, refused: str = "") -> Row:
    request = item.request.model_dump_json(exclude_unset=True)
    values = {"id": item.id, "agent": item.agent, "request": request, "refused": refused}
    return Row(home, _key(item.number), values)


def _item(row: Row) -> StoredItem:
    """Return the item; one whose request cannot be read is refused, whatever it was."""
    refused = row.text("refused")
    try:
        request = stored_model(RunRequest, row.text("request"), "line")
    except Unreadable as error:
        request, refused = RunRequest(query=""), refused or Unreadable.code
        skip(row, "batch line", error)
    number = int(row.key.partition("!")[2])
    return StoredItem(Item(number, row.text("id"), row.text("agent"), request), refused)


def _names(row: Row, stored: StoredItem, user_id: str) -> bool:
    """Return whether the item's request names the user; of one that cannot be read, whether the id occurs in it."""
    if stored.refused == Unreadable.code:
        return json.dumps(user_id) in row.text("request")
    return stored.item.request.user_id == user_id
