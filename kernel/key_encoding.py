r"""Keys that hold any text: what Table Storage forbids in them is written as `=` and two hexadecimal digits.

Callers and their identity providers choose ids such as `ada_contoso.com#EXT#@fabrikam.com` or
`https://idp.example/u/7`, and keys are made of them. Table Storage takes no `/`, `\`, `#` and `?` in a key
(learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model), and `%` fails on the way
there. With `=` itself written so, too, no two keys become one, and a key that starts with a prefix still does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from kernel.tables import Delete, Page, Row, Span, Tables, Write

_FORBIDDEN = re.compile(r"[/\\#?%=]")
_ENCODED = re.compile(r"=([0-9A-F]{2})")


def encoded(key: str) -> str:
    """Return the key in its stored form."""
    return _FORBIDDEN.sub(lambda found: f"={ord(found[0]):02X}", key) if _FORBIDDEN.search(key) else key


def decoded(key: str) -> str:
    """Return the key from its stored form."""
    return _ENCODED.sub(lambda found: chr(int(found[1], 16)), key) if "=" in key else key


class AnyKeys:
    """Tables whose keys can have any text without control characters."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        """See `Tables`."""
        row = await self._tables.get(table, encoded(partition), encoded(key))
        return None if row is None else _as_read(row)

    async def query(self, table: str, span: Span, *, limit: int = 1000, token: str | None = None) -> Page:
        """See `Tables`."""
        bounds = (span.partition, span.partition_before, span.key_from, span.key_before)
        first, last, begin, end = (None if bound is None else encoded(bound) for bound in bounds)
        if (first, last, begin, end) != bounds:
            span = Span(first or "", last, begin, end, span.where)
        page = await self._tables.query(table, span, limit=limit, token=token)
        return Page([_as_read(row) for row in page.rows], page.next)

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        """See `Tables`."""
        return await self._tables.commit(table, [_as_written(write) for write in writes])

    async def aclose(self) -> None:
        """See `Tables`."""
        await self._tables.aclose()


def _as_read(row: Row) -> Row:
    if "=" not in row.key and "=" not in row.partition:
        return row
    return replace(row, partition=decoded(row.partition), key=decoded(row.key))


def _as_written(write: Write) -> Write:
    at = write if isinstance(write, Delete) else write.row
    partition, key = encoded(at.partition), encoded(at.key)
    if partition == at.partition and key == at.key:
        return write
    if isinstance(write, Delete):
        return Delete(partition, key, write.etag)
    return replace(write, row=replace(write.row, partition=partition, key=key))
