"""Interface of table storage: rows with ETags, atomic writes in a partition, as in Azure Table Storage.

There are three implementations, `adapters.azure_tables`, `adapters.memory_tables` and `adapters.file_tables`, all
tested by one contract suite. The limits are those of the service
(learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Protocol

from kernel.lazy_dataclass import dataclass

Scalar = str | int | float | bool | datetime | bytes
MAX_WRITES = 100
"""Most writes of one commit (the limit of an entity-group transaction)."""


def ordinal(key: str) -> bytes:
    """Return the sort key of keys: their UTF-16 code units, whose order differs from that of Python's strings."""
    return key.encode("utf-16-be")


@dataclass(frozen=True, slots=True)
class Row:
    """One stored entity.

    Attributes:
        partition: Partition key; rows of one partition can be committed together.
        key: Row key, unique in the partition; rows are returned in its order.
        values: The properties, named like identifiers (not ending in `__1`). None values are not stored. A string may
            be as long as the row's 1 MiB allows.
        etag: ETag of the stored row; empty for a row that was not read.
    """

    partition: str
    key: str
    values: Mapping[str, Scalar | None]
    etag: str = ""

    def text(self, name: str, default: str = "") -> str:
        """Return a string property, or the default when it is absent."""
        value = self.values.get(name)
        return default if value is None else str(value)

    def integer(self, name: str, default: int = 0) -> int:
        """Return an integer property, or the default when it is absent."""
        value = self.values.get(name)
        return default if not isinstance(value, int) else value

    def moment(self, name: str) -> datetime | None:
        """Return a datetime property (aware, UTC), or None when it is absent."""
        value = self.values.get(name)
        return value if isinstance(value, datetime) else None


@dataclass(frozen=True, slots=True)
class Insert:
    """Create the row; fails with RowExists if its key exists."""

    row: Row


@dataclass(frozen=True, slots=True)
class Replace:
    """Replace the whole row; fails with RowChanged if it is gone or its ETag is not `row.etag` (never empty)."""

    row: Row


@dataclass(frozen=True, slots=True)
class Upsert:
    """Create or replace the whole row, without a condition."""

    row: Row


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the row; with an ETag, fails with RowChanged if it was changed. A missing row fails with RowChanged."""

    partition: str
    key: str
    etag: str = ""


Write = Insert | Replace | Upsert | Delete


def put(row: Row) -> Insert | Replace:
    """Return the write that replaces the row as it was read, or creates it where it has no ETag."""
    return Replace(row) if row.etag else Insert(row)


@dataclass(frozen=True, slots=True)
class Span:
    """A range of rows: of one partition, or of a range of partitions.

    Attributes:
        partition: The partition, or the first one when `partition_before` is given.
        partition_before: Exclusive upper bound of a partition range; None for the one partition.
        key_from: Inclusive lower bound of the row key.
        key_before: Exclusive upper bound of the row key.
        where: Properties that must equal these values.
    """

    partition: str
    partition_before: str | None = None
    key_from: str | None = None
    key_before: str | None = None
    where: Mapping[str, str | int | bool] = field(default_factory=dict[str, "str | int | bool"])

    @staticmethod
    def prefix(partition: str, prefix: str, *, after: str | None = None) -> Span:
        """Return the span of a partition's rows whose key starts with the prefix, after the key `after`."""
        # A space is the least character of a key, so nothing sorts between a key and the key followed by a space.
        start = prefix if after is None else max(prefix, after + "\x20", key=ordinal)
        return Span(partition, key_from=start, key_before=_beyond(prefix))

    def matches(self, row: Row) -> bool:
        """Return whether the row has the properties in `where`; its keys are not compared."""
        return all(_equal(row.values.get(name), wanted) for name, wanted in self.where.items())


def _equal(value: Scalar | None, wanted: str | int | bool) -> bool:
    """Compare as the service does: True does not equal 1. `wanted` may be an enum's member."""
    return isinstance(value, bool) == isinstance(wanted, bool) and isinstance(wanted, type(value)) and value == wanted


def _beyond(prefix: str) -> str | None:
    """Return the least text, in the order of keys, above all texts with the prefix; None if there is none."""
    shortened = prefix.rstrip("\uffff")
    if not shortened:
        return None
    last = ord(shortened[-1])
    above = {0xD7FF: 0x10000, 0x10FFFF: 0xE000}.get(last, last + 1)  # surrogate pairs sort between U+D7FF and U+E000
    return shortened[:-1] + chr(above)


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows in key order, and the token to continue after them; None at the end."""

    rows: Sequence[Row]
    next: str | None


class RowExists(Exception):
    """An inserted row's key exists."""


class RowChanged(Exception):
    """A row to be replaced or deleted was changed or deleted since it was read."""


class RowTooLarge(Exception):
    """A row exceeds 1 MiB, or a commit 4 MiB."""


class Tables(Protocol):
    """Rows in partitions. Every method raises `kernel.errors.Unavailable` if the store cannot be reached.

    A commit whose response was lost is sent again and can meet its own effect. So RowExists and RowChanged may be
    caused by the caller's own write, and after Unavailable it is unknown whether the commit took place: write something
    into rows by which you recognize your own write, and read again.
    """

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        """Return the row; None if it does not exist."""
        ...

    async def query(self, table: str, span: Span, *, limit: int = 1000, token: str | None = None) -> Page:
        """Return up to `limit` (1-1000) rows of the span in key order.

        A page can be short or empty while `next` is set: the service ends pages at partition boundaries and time
        limits.

        Raises:
            ValueError: The limit, the span or the token is not valid.
        """
        ...

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        """Apply all writes or none, and return the new ETags in order (empty for deletes).

        All rows are in one partition, each key at most once, at most MAX_WRITES.

        Raises:
            RowExists: An insert's key exists.
            RowChanged: A row to be replaced or deleted has another ETag, or is gone.
            RowTooLarge: A row exceeds 1 MiB, or the commit 4 MiB.
            ValueError: The writes break the rules above.
        """
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


async def every(tables: Tables, table: str, span: Span, *, page: int = 1000) -> AsyncIterator[Row]:
    """Yield every row of the span, page by page, so that memory does not grow with the span."""
    token: str | None = None
    while True:
        found = await tables.query(table, span, limit=page, token=token)
        for row in found.rows:
            yield row
        token = found.next
        if token is None:
            return


async def first_rows(tables: Tables, table: str, span: Span, limit: int) -> Sequence[Row]:
    """Return the first `limit` (1-1000) rows of the span in key order; fewer only when there are no more."""
    rows: list[Row] = []
    token: str | None = None
    while True:
        page = await tables.query(table, span, limit=limit - len(rows), token=token)
        rows += page.rows
        token = page.next
        if token is None or len(rows) >= limit:
            return rows
