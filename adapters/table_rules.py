"""Limits of Table Storage, checked before any request so that all `Tables` implementations refuse the same.

The limits are those of learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from adapters.table_sizes import check_sizes, units
from kernel.tables import MAX_WRITES, Delete, Replace, Row, Scalar, Span, Write

MAX_KEY_UNITS = 512  # 1 KiB of UTF-16
MAX_WHERE_UNITS = 1024  # a filter is part of the URL
MAX_WHERE = 11  # of the 15 comparisons a filter may have, four may be the span's bounds

_TABLE = re.compile(r"(?!tables\Z)[a-z][a-z0-9]{2,62}", re.IGNORECASE | re.ASCII)
_FORBIDDEN_IN_KEYS = re.compile(r"[\x00-\x1f\x7f-\x9f/\\#?]")
_PROPERTY = re.compile(
    r"(?!(?:PartitionKey|RowKey|Timestamp)\Z|.*__[0-9]+\Z)"  # names of the system and of parts of long values
    r"[A-Za-z_][A-Za-z0-9_]{0,239}"
)
_ETAG = re.compile(r'W/"[^"\x00-\x1f\x7f]+"')
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MOMENT = datetime(1601, 1, 1, tzinfo=UTC)


def check_table(name: str) -> None:
    """Raise ValueError unless a table can have this name."""
    if not _TABLE.fullmatch(name):
        msg = "a table name is 3-63 letters and digits, a letter first, and not 'tables'"
        raise ValueError(msg)


def check_keys(*keys: str) -> None:
    r"""Raise ValueError if a text cannot be a partition or row key: over 1 KiB, control characters or / \ # ?."""
    for key in keys:
        if units(key) > MAX_KEY_UNITS or _FORBIDDEN_IN_KEYS.search(key):
            msg = "a key is at most 512 UTF-16 units, without control characters and / \\ # ?"
            raise ValueError(msg)


def check_query(table: str, span: Span, limit: int) -> None:
    """Raise ValueError if the query is not allowed."""
    check_table(table)
    if not 1 <= limit <= 1000:
        msg = "limit is 1-1000"
        raise ValueError(msg)
    for bound in (span.partition, span.partition_before, span.key_from, span.key_before):
        if bound is not None and units(bound) > MAX_KEY_UNITS + 1:  # `Span.prefix` adds a character to a key
            msg = "a bound of a span is longer than any key"
            raise ValueError(msg)
    if len(span.where) > MAX_WHERE:
        msg = f"a span filters by at most {MAX_WHERE} properties"
        raise ValueError(msg)
    for name, value in span.where.items():
        _check_property(name)
        _plain(name, value)
        if units(str(value)) > MAX_WHERE_UNITS:
            msg = f"{name}: a filter's text is at most {MAX_WHERE_UNITS} UTF-16 units"
            raise ValueError(msg)


def checked(table: str, writes: Sequence[Write]) -> list[Write]:
    """Return the writes with values as they are stored: None removed, exact builtin types, datetimes in UTC.

    Raises:
        ValueError: The writes violate a rule of the store.
        RowTooLarge: A row is over 1 MiB, or the commit over 4 MiB.
    """
    check_table(table)
    places = [place(write) for write in writes]
    if len(places) > MAX_WRITES or len(set(places)) < len(places) or len({partition for partition, _ in places}) > 1:
        msg = f"a commit is at most {MAX_WRITES} writes of one partition, each key once"
        raise ValueError(msg)
    for keys in places:
        check_keys(*keys)
    if any(isinstance(write, Replace) and not write.row.etag for write in writes):
        msg = "a row to be replaced carries the ETag it was read with"
        raise ValueError(msg)
    ready = [write if isinstance(write, Delete) else replace(write, row=_stored(write.row)) for write in writes]
    check_sizes(ready)
    return ready


def place(write: Write) -> tuple[str, str]:
    """Return the partition and key of a write."""
    return (write.partition, write.key) if isinstance(write, Delete) else (write.row.partition, write.row.key)


def may_hold(write: Write) -> bool:
    """Return whether the ETag can be current: the store uses no other form, and `*` would match any version."""
    etag = write.etag if isinstance(write, Delete) else write.row.etag if isinstance(write, Replace) else ""
    return not etag or _ETAG.fullmatch(etag) is not None


def pack_token(partition: str | None, key: str | None) -> str:
    """Return a position between two rows as opaque text that is safe in URLs."""
    return urlsafe_b64encode(json.dumps([partition, key]).encode()).decode().rstrip("=")


def unpack_token(token: str) -> tuple[str | None, str | None]:
    """Return the position in a token.

    Raises:
        ValueError: The text is not a token.
    """
    try:
        position = json.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        partition, key = position
        units("".join(part for part in position if part is not None))
    except (ValueError, TypeError):
        msg = "not a paging token"
        raise ValueError(msg) from None
    return partition, key


def _check_property(name: str) -> None:
    if not _PROPERTY.fullmatch(name):
        msg = f"{name!r} cannot be a property: use up to 240 of A-Z, a-z, 0-9 and _, no digit first, no __1 at the end"
        raise ValueError(msg)


def _stored(row: Row) -> Row:
    values: dict[str, Scalar | None] = {}
    for name, value in row.values.items():
        _check_property(name)
        if value is not None:
            values[name] = _plain(name, value)
    return Row(row.partition, row.key, values, row.etag)


def _plain(name: str, value: Scalar) -> Scalar:
    """Return the value as an exact builtin type, because SDKs store subclasses such as enums differently."""
    match value:
        case bool():
            return value
        case str():
            units(value)
            return str.__str__(value)
        case int() if -(1 << 63) <= value < 1 << 63:
            return int(value)
        case float():
            return float(value)
        case bytes():
            return bytes(value)
        case datetime() if value.tzinfo is not None and value >= _FIRST_MOMENT:
            return _EPOCH + (value - _EPOCH)
        case _:
            msg = f"{name}: this {type(value).__name__} cannot be stored (integers have 64 bits, datetimes a zone)"
            raise ValueError(msg)
