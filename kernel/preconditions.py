"""Preconditions of changes: what a caller has read must still be so.

A client repeats a commit whose answer was lost, and what is repeated is refused by the ETag that the first one gave.
So what is refused is read again: where it is as it was to be, the change has taken place, and succeeds (RFC 9110
§13.1.1 leaves that to the server).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from kernel.errors import AppError, EtagMismatch
from kernel.tables import Delete, Insert, Replace, Row, RowChanged, RowExists, Tables, Write

Beside = Callable[[Row | None], Awaitable[Sequence[Write]]]
"""Returns what else is written with a row, by the row that is there before; asked again at each try."""
_CHANGES_BEFORE_GIVING_UP = 12


def check_match(if_match: str | None, etag: str | None) -> None:
    """Check what a caller says in `If-Match` (RFC 9110 §13.1.1).

    Args:
        if_match: None asks for nothing, `*` that the thing is there, anything else that this is its ETag.
        etag: The thing's ETag; None or empty where it is not there.

    Raises:
        EtagMismatch: It is not so.
    """
    if if_match is not None and (not etag or if_match not in ("*", etag)):
        raise EtagMismatch


async def put_row(
    tables: Tables, table: str, row: Row, if_match: str | None, beside: Beside | None = None
) -> tuple[str, bool]:
    """Store the row in place of the one that is there, and return its ETag and whether it is new.

    One that is there with the same values is left as it is.

    Raises:
        EtagMismatch: What is there is not as the caller has read it, or others change it all the time.
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
    """Delete the row at a place, a partition and a key.

    Raises:
        AppError: `missing`: it is not there.
        EtagMismatch: It is not as the caller has read it, or others change it all the time.
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
