"""Conditional changes: what a caller has read must be unchanged.

A client repeats a commit whose response was lost, and the repetition is refused by the new ETag. So after a refusal the
row is read again: if it is as intended, the change has taken place, and succeeds (RFC 9110 §13.1.1 leaves that to the
server).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from kernel.errors import AppError, EtagMismatch
from kernel.tables import Delete, Row, RowChanged, RowExists, Tables, Write, put

T = TypeVar("T")
Decide = Callable[[Row | None], Awaitable[tuple[T, Sequence[Write]]]]
"""Returns, by the row that is there, what the change comes to and what is to be written, the row's own write first;
nothing where it is as it is to be. Asked again at each try; what it raises refuses the change."""
Beside = Callable[[Row | None], Awaitable[Sequence[Write]]]
"""Returns further writes for the transaction, given the row before (None for a new one); called again at each try."""
_CHANGES_BEFORE_GIVING_UP = 12


def check_match(if_match: str | None, etag: str | None) -> None:
    """Check an `If-Match` condition (RFC 9110 §13.1.1).

    Args:
        if_match: None for no condition, `*` requires that the resource exists, anything else that this is its ETag.
        etag: The resource's ETag; None or empty if it does not exist.

    Raises:
        EtagMismatch: The condition is not met.
    """
    if if_match is not None and (not etag or if_match not in ("*", etag)):
        raise EtagMismatch


async def write_row(tables: Tables, table: str, row: Row, beside: Sequence[Write] = ()) -> str | None:
    """Store the row in place of the one with its ETag, as a new one where it has none.

    Returns:
        The ETag that it has now; None where it is not stored, as somebody else was faster.
    """
    try:
        etag, *_ = await tables.commit(table, [put(row), *beside])
    except (RowChanged, RowExists):
        stored = await tables.get(table, row.partition, row.key)
        return stored.etag if stored is not None and _same(stored, row) else None
    return etag


async def change_row(tables: Tables, table: str, place: tuple[str, str], decide: Decide[T]) -> tuple[T, str]:
    """Change the row at a place, a partition and a key, as `decide` says; again when somebody else was faster.

    Returns:
        What the change comes to, and the row's ETag, empty where it is not there.

    Raises:
        EtagMismatch: Others change it all the time.
    """
    tried: tuple[T, Write] | None = None
    for _ in range(_CHANGES_BEFORE_GIVING_UP):
        stored = await tables.get(table, *place)
        if tried is not None and _as_written(stored, tried[1]):
            return tried[0], stored.etag if stored else ""
        result, writes = await decide(stored)
        if not writes:
            return result, stored.etag if stored else ""
        try:
            etag, *_ = await tables.commit(table, writes)
        except (RowChanged, RowExists):
            tried = result, writes[0]
            continue
        return result, etag
    raise EtagMismatch


async def put_row(
    tables: Tables, table: str, row: Row, if_match: str | None, beside: Beside | None = None
) -> tuple[str, bool]:
    """Insert or replace the row, and return its ETag and whether it is new.

    An existing row with equal values is left unchanged.

    Raises:
        EtagMismatch: The condition is not met, or other callers kept changing the row.
    """

    async def decide(stored: Row | None) -> tuple[bool, Sequence[Write]]:
        check_match(if_match, stored.etag if stored else None)
        if stored is not None and _same(stored, row):
            return False, ()
        more = await beside(stored) if beside else ()
        wanted = Row(row.partition, row.key, row.values, stored.etag if stored else "")
        return stored is None, [put(wanted), *more]

    new, etag = await change_row(tables, table, (row.partition, row.key), decide)
    return etag, new


async def delete_row(
    tables: Tables,
    table: str,
    place: tuple[str, str],
    if_match: str | None,
    missing: AppError,
    beside: Beside | None = None,
    *,
    etag_of: Callable[[Row], str] = lambda row: row.etag,
) -> None:
    """Delete the row at `place`: a partition and a key.

    Args:
        tables: The tables.
        table: The row's table.
        place: Where it is.
        if_match: What the caller says in `If-Match`.
        missing: Raised where it is not there.
        beside: What else is written.
        etag_of: Returns the ETag that callers know a row by.

    Raises:
        AppError: `missing`.
        EtagMismatch: It is not as the caller has read it, or others change it all the time.
    """

    async def decide(stored: Row | None) -> tuple[None, Sequence[Write]]:
        if stored is None:
            raise missing
        check_match(if_match, etag_of(stored))
        return None, [Delete(*place, stored.etag), *(await beside(stored) if beside else ())]

    await change_row(tables, table, place, decide)


def _as_written(stored: Row | None, write: Write) -> bool:
    if isinstance(write, Delete):
        return stored is None
    return stored is not None and _same(stored, write.row)


def _same(stored: Row, row: Row) -> bool:
    return stored.values == {name: value for name, value in row.values.items() if value is not None}
