"""Deletes the oldest events of journals' shards, and the rows of sources without later events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from kernel.journal import SHARDS_PARTITION, TABLE
from kernel.tables import MAX_WRITES, Delete, Row, RowChanged, Span, Tables, every, first_rows


async def shards(tables: Tables) -> AsyncIterator[str]:
    """Yield the partition of every shard."""
    async for row in every(tables, TABLE, Span(SHARDS_PARTITION)):
        yield row.key


async def trim(tables: Tables, partition: str, before: datetime) -> int:
    """Delete the shard's appends up to the first with an event that is not older than `before`; return how many.

    A deleted event is stored again if it is recorded again under its key.
    """
    count = 0
    while True:
        found = await first_rows(tables, TABLE, Span.prefix(partition, "event!"), MAX_WRITES)
        old = _head(found, before)
        if not old:
            return count
        ready = await asyncio.gather(*(_deletions(tables, row) for row in old))
        fitting, appends = _fitting(ready)
        try:
            await tables.commit(TABLE, fitting)
        except RowChanged:
            continue  # a source has appended, or another process deletes too
        count += appends


def _head(rows: Sequence[Row], before: datetime) -> Sequence[Row]:
    for place, row in enumerate(rows):
        at = row.moment("at")
        if at is None or at >= before:
            return rows[:place]
    return rows


async def _deletions(tables: Tables, row: Row) -> Sequence[Delete]:
    """Return the deletions for an append and for the rows of its sources without later events."""
    partition, last = row.partition, int(row.key.removeprefix("event!"))
    keys = [f"source!{digest}" for digest in row.text("sources").split()]
    sources = await asyncio.gather(*(tables.get(TABLE, partition, key) for key in keys))
    idle = [source for source in sources if source is not None and source.integer("last") <= last]
    return [Delete(partition, row.key), *(Delete(partition, source.key, source.etag) for source in idle)]


def _fitting(parts: Sequence[Sequence[Delete]]) -> tuple[list[Delete], int]:
    """Return the first parts that fit in one commit, joined, and their number."""
    fitting: list[Delete] = []
    for count, part in enumerate(parts):
        if len(fitting) + len(part) > MAX_WRITES:
            return fitting, count
        fitting += part
    return fitting, len(parts)
