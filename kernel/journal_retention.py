"""Deleting what journals keep no longer: the oldest events of every shard, and what was kept to know them by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from kernel.journal import SHARDS_PARTITION, TABLE
from kernel.tables import MAX_WRITES, Delete, Row, RowChanged, Span, Tables, every, first_rows


async def shards(tables: Tables) -> AsyncIterator[str]:
    """Yield the partition of every shard there is."""
    async for row in every(tables, TABLE, Span(SHARDS_PARTITION)):
        yield row.key


async def trim(tables: Tables, partition: str, before: datetime) -> int:
    """Delete the shard's appends up to the first one with an event that is not older, and return how many.

    An event that comes later under the key of one that was deleted is recorded again.
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
            continue  # a source has just gone on, or somebody else deletes, too
        count += appends


def _head(rows: Sequence[Row], before: datetime) -> Sequence[Row]:
    for place, row in enumerate(rows):
        at = row.moment("at")
        if at is None or at >= before:
            return rows[:place]
    return rows


async def _deletions(tables: Tables, row: Row) -> Sequence[Delete]:
    """Return what deletes an append and the rows of the sources that have had nothing since."""
    partition, last = row.partition, int(row.key.removeprefix("event!"))
    keys = [f"source!{digest}" for digest in row.text("sources").split()]
    sources = await asyncio.gather(*(tables.get(TABLE, partition, key) for key in keys))
    idle = [source for source in sources if source is not None and source.integer("last") <= last]
    return [Delete(partition, row.key), *(Delete(partition, source.key, source.etag) for source in idle)]


def _fitting(parts: Sequence[Sequence[Delete]]) -> tuple[list[Delete], int]:
    """Return as many of the parts, from the first on, as one commit holds, and how many those are."""
    fitting: list[Delete] = []
    for count, part in enumerate(parts):
        if len(fitting) + len(part) > MAX_WRITES:
            return fitting, count
        fitting += part
    return fitting, len(parts)
