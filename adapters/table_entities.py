"""How a Row is written as an entity of Table Storage, and a Span as an OData filter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from adapters.table_sizes import parts
from kernel.tables import Row, Scalar, Span

_INT64 = "Edm.Int64"
_FURTHER_PART = re.compile(r"(.+)__([0-9]+)")


def to_entity(row: Row) -> dict[str, Any]:
    """Return the entity of a checked row: integers as Int64, long texts and bytes over several properties.

    The further parts of `text` are `text__1`, `text__2` …; no property of a row can be called so.
    """
    entity: dict[str, Any] = {"PartitionKey": row.partition, "RowKey": row.key}
    for name, value in row.values.items():
        if isinstance(value, str | bytes):
            first, *further = parts(value)
            entity[name] = first
            entity.update((f"{name}__{number}", piece) for number, piece in enumerate(further, 1))
        elif type(value) is int:
            entity[name] = (value, _INT64)
        else:
            entity[name] = value
    return entity


def to_row(entity: Mapping[str, Any], etag: str) -> Row:
    """Return the row of an entity as the SDK delivers it."""
    values: dict[str, Scalar | None] = {}
    further: dict[str, dict[int, Any]] = {}
    for name, value in entity.items():
        if "__" in name and (found := _FURTHER_PART.fullmatch(name)):
            further.setdefault(found[1], {})[int(found[2])] = value
        elif name not in {"PartitionKey", "RowKey"}:
            values[name] = _scalar(value)
    for name, pieces in further.items():
        whole = [values[name], *(piece for _, piece in sorted(pieces.items()))]
        values[name] = b"".join(whole) if isinstance(whole[0], bytes) else "".join(whole)
    return Row(entity["PartitionKey"], entity["RowKey"], values, etag)


def to_filter(span: Span) -> tuple[str, dict[str, str]]:
    """Return the span as an OData filter and the texts that the SDK puts, quoted, where the filter names them.

    Integers and booleans are written here, for the SDK's parameters have no form for them that works: 0 and 1 become
    booleans, other integers Int32, which equals no Int64 property.
    """
    texts = {"partition": span.partition}
    terms = ["PartitionKey eq @partition"]
    if span.partition_before is not None:
        terms = ["PartitionKey ge @partition", "PartitionKey lt @partition_before"]
        texts["partition_before"] = span.partition_before
    if span.key_from is not None:
        terms.append("RowKey ge @key_from")
        texts["key_from"] = span.key_from
    if span.key_before is not None:
        terms.append("RowKey lt @key_before")
        texts["key_before"] = span.key_before
    for number, (name, value) in enumerate(span.where.items()):
        if isinstance(value, bool):
            terms.append(f"{name} eq {str(value).lower()}")
        elif isinstance(value, int):
            terms.append(f"{name} eq {int(value)}L")
        else:
            terms.append(f"{name} eq @where{number}")
            texts[f"where{number}"] = value
    return " and ".join(terms), texts


def _scalar(value: Any) -> Scalar:
    """Return the builtin in a value of the SDK, which wraps Int64 in a tuple and subclasses datetime."""
    match value:
        case tuple():
            return value[0]
        case datetime():
            return datetime.combine(value.date(), value.time(), UTC)
        case _:
            return value
