"""Sizes of rows in Table Storage and in requests, and splitting long values over properties."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from kernel.tables import Delete, Row, RowTooLarge, Write

MAX_ROW_BYTES = 1 << 20
MAX_COMMIT_BYTES = 4 << 20
MAX_PROPERTIES = 252
PART_UNITS = 32_000
"""Most UTF-16 code units of a text in one property, just under the service's 64 KiB."""
PART_BYTES = 64_000
"""Most bytes in one property, just under the service's 64 KiB."""

_ENVELOPE_BYTES = 1024  # the headers of one operation in a commit's multipart body


def units(text: str) -> int:
    """Return the length in UTF-16 code units, which the service counts.

    Raises:
        ValueError: The text contains half a surrogate pair, which cannot be encoded.
    """
    if text.isascii():
        return len(text)
    try:
        return len(text.encode("utf-16-le")) // 2
    except UnicodeEncodeError:
        msg = "text holds a lone surrogate"
        raise ValueError(msg) from None


def parts(value: str | bytes) -> list[str] | list[bytes]:
    """Return the value split into parts that fit one property, never inside a surrogate pair."""
    if isinstance(value, bytes):
        return [value[at : at + PART_BYTES] for at in range(0, len(value), PART_BYTES)] or [value]
    if len(value) <= PART_UNITS // 2:
        return [value]
    if value.isascii():
        return [value[at : at + PART_UNITS] for at in range(0, len(value), PART_UNITS)]
    return list(_split(value.encode("utf-16-le")))


def check_sizes(writes: Sequence[Write]) -> None:
    """Raise RowTooLarge if a row or all of them exceed the service's limits, ValueError for too many properties."""
    rows = [Row(write.partition, write.key, {}) if isinstance(write, Delete) else write.row for write in writes]
    sizes = [_row_bytes(row) for row in rows]
    if max(sizes, default=0) > MAX_ROW_BYTES:
        msg = "a row is at most 1 MiB"
        raise RowTooLarge(msg)
    # JSON needs at most six characters for a UTF-16 unit and a URL nine, so that few commits must be measured exactly.
    if 8 * sum(sizes) + _ENVELOPE_BYTES * len(rows) <= MAX_COMMIT_BYTES:
        return
    if sum(map(_wire_bytes, rows)) > MAX_COMMIT_BYTES:
        msg = "a commit is at most 4 MiB"
        raise RowTooLarge(msg)


def _split(utf16: bytes) -> Iterator[str]:
    start = 0
    while start < len(utf16):
        end = start + 2 * PART_UNITS
        if end < len(utf16) and 0xD8 <= utf16[end - 1] <= 0xDB:
            end -= 2
        yield utf16[start:end].decode("utf-16-le")
        start = end


def _row_bytes(row: Row) -> int:
    total = 4 + 2 * (units(row.partition) + units(row.key))
    count = 0
    for name, value in row.values.items():
        if isinstance(value, str | bytes):
            pieces = len(parts(value))
            size = 4 * pieces + (len(value) if isinstance(value, bytes) else 2 * units(value))
        else:
            pieces, size = 1, 1 if isinstance(value, bool) else 8
        count += pieces
        total += pieces * (8 + 2 * len(name)) + size
    if count > MAX_PROPERTIES:
        msg = f"a row has at most {MAX_PROPERTIES} properties, each part of a long value counted"
        raise ValueError(msg)
    return total


def _wire_bytes(row: Row) -> int:
    total = _ENVELOPE_BYTES + sum(len(quote(key)) + len(json.dumps(key)) for key in (row.partition, row.key))
    for name, value in row.values.items():
        pieces = parts(value) if isinstance(value, str | bytes) else ()
        total += max(1, len(pieces)) * (2 * len(name) + 64)
        total += sum(len(json.dumps(piece)) if isinstance(piece, str) else 4 * len(piece) // 3 for piece in pieces)
    return total
