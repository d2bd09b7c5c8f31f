"""Conditional changes: what a caller has read must be unchanged.

A client repeats a commit whose response was lost, and the repetition is refused by the new ETag. So after a refusal the
row is read again: if it is as intended, the change has taken place, and succeeds (RFC 9110 §13.1.1 leaves that to the
server).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from kernel.errors import AppError, EtagMismatch
from kernel.tables import Delete, Insert, Replace, Row, RowChanged, RowExists, Tables, Write

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


async def put_row(
    tables: Tables, table: str, row: Row, if_match: str | None, beside: Beside | None = None
) -> tuple[str, bool]:
    """Insert or replace the row, and return its ETag and whether it is new.

    An existing row with equal values is left unchanged.

    Raises:
        EtagMismatch: The condition is not met, or other callers kept changing the row.
    """
    new = None
    for _ in range(_CHANGES_BEFORE_GIVING_UP):
        stored = await tables.get(table, row.partition, row.key)
        same = stored is not None and stored.values == row.values
        if stored is not None and same and new is not None:
            return stored.etag, new
        check_match(if_match, stored.etag if stored else None)
        if stored is not None and same:
            return stored.etag, False
        new = stored is None
        more = await beside(stored) if beside else ()
        write = Insert(row) if stored is None else Replace(Row(row.partition, row.key, row.values, stored.etag))
        try:
            etag, *_ = await tables.commit(table, [write, *more])
        except (RowChanged, RowExists):
            continue
        return etag, new
    raise EtagMismatch


async def delete_row(
    tables: Tables,
    table: str,
    place: tuple[str, str],
    if_match: str | None,
    missing: AppError,
    beside: Beside | None = None,
) -> None:
    """Delete the row at `place`: a partition and a key.

    Raises:
        AppError: `missing`, if it does not exist.
        EtagMismatch: The condition is not met, or other callers kept changing the row.
    """
    tried = False
    for _ in range(_CHANGES_BEFORE_GIVING_UP):
        stored = await tables.get(table, *place)
        if stored is None and tried:
            return
        if stored is None:
            raise missing
        check_match(if_match, stored.etag)
        more, tried = await beside(stored) if beside else (), True
        try:
            await tables.commit(table, [Delete(*place, stored.etag), *more])
        except RowChanged:
            continue
        return
    raise EtagMismatch
