"""Conversion of a Row to JSON of Table Storage, and of a Span to an OData filter.

learn.microsoft.com/rest/api/storageservices/payload-format-for-table-service-operations: the type of a value without a
JSON form is given beside it, as `name@odata.type`.
"""

from __future__ import annotations

import math
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from adapters.table_sizes import parts
from kernel.tables import Row, Scalar, Span

_TYPE = "@odata.type"
_FURTHER_PART = re.compile(r"(.+)__([0-9]+)")
_SYSTEM = frozenset({"PartitionKey", "RowKey", "Timestamp"})


def to_entity(row: Row) -> dict[str, Any]:
    """Return the JSON of a checked row: integers as Int64, long texts and bytes split over several properties.

    The further parts of `text` are `text__1`, `text__2` …; property names of this form are not allowed otherwise.
    """
    entity: dict[str, Any] = {"PartitionKey": row.partition, "RowKey": row.key}
    for name, value in row.values.items():
        match value:
            case None:
                pass
            case str() | bytes():
                first, *further = parts(value)
                _put_piece(entity, name, first)
                for number, piece in enumerate(further, 1):
                    _put_piece(entity, f"{name}__{number}", piece)
            case bool():
                entity[name] = value
            case int():
                entity[name], entity[name + _TYPE] = str(value), "Edm.Int64"
            case float():
                entity[name], entity[name + _TYPE] = _double(value), "Edm.Double"
            case datetime():
                text = value.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
                entity[name], entity[name + _TYPE] = text, "Edm.DateTime"
    return entity


def to_row(entity: Mapping[str, Any], etag: str = "") -> Row:
    """Return the row of an entity's JSON with minimal metadata; without an ETag argument, the one in it is used."""
    values: dict[str, Scalar | None] = {}
    further: dict[str, dict[int, Any]] = {}
    for name, raw in entity.items():
        if name in _SYSTEM or "odata." in name:
            continue
        read = _READ.get(entity.get(name + _TYPE, ""))
        value = raw if read is None else read(raw)
        if "__" in name and (found := _FURTHER_PART.fullmatch(name)):
            further.setdefault(found[1], {})[int(found[2])] = value
        elif value is not None:
            values[name] = value
    for name, pieces in further.items():
        whole: list[Any] = [values[name], *(piece for _, piece in sorted(pieces.items()))]
        values[name] = b"".join(whole) if isinstance(whole[0], bytes) else "".join(whole)
    return Row(entity["PartitionKey"], entity["RowKey"], values, etag or entity.get("odata.etag", ""))


def to_filter(span: Span) -> str:
    """Return the span as an OData filter."""
    terms = [f"PartitionKey eq {_literal(span.partition)}"]
    if span.partition_before is not None:
        first, before = _literal(span.partition), _literal(span.partition_before)
        terms = [f"PartitionKey ge {first}", f"PartitionKey lt {before}"]
    if span.key_from is not None:
        terms.append(f"RowKey ge {_literal(span.key_from)}")
    if span.key_before is not None:
        terms.append(f"RowKey lt {_literal(span.key_before)}")
    terms += [f"{name} eq {_literal(value)}" for name, value in span.where.items()]
    return " and ".join(terms)


def _literal(value: str | int | bool) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return f"{int(value)}L"
        case _:
            doubled = value.replace("'", "''")
            return f"'{doubled}'"


def _put_piece(entity: dict[str, Any], name: str, piece: str | bytes) -> None:
    if isinstance(piece, str):
        entity[name] = piece
    else:
        entity[name], entity[name + _TYPE] = b64encode(piece).decode(), "Edm.Binary"


def _double(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


_READ: Mapping[str, Callable[[Any], Scalar]] = {
    "Edm.Int64": int,
    "Edm.Double": float,
    "Edm.Binary": b64decode,
    "Edm.DateTime": datetime.fromisoformat,  # the service's seven decimals are cut to Python's six
}
