"""JSON from outside, read strictly: what cannot be written down again is refused where it comes in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from typing_extensions import TypeIs


def parse_json(body: bytes) -> Any:
    """Return the values of a JSON text (RFC 8259), which is in UTF-8; a byte order mark is passed over.

    Raises:
        ValueError: It is none; it holds half a surrogate pair, which is no text and fails wherever it is stored, or
            NaN or an infinity, which are no JSON; or it is nested too deeply to be read.
    """
    try:
        values = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse)
        # Only an escape can bring one in, so that almost no body is searched.
        if b"\\u" in body:
            json.dumps(values, ensure_ascii=False).encode()
    except RecursionError:
        msg = "nested too deeply"
        raise ValueError(msg) from None
    return values


def is_object(value: object) -> TypeIs[dict[str, Any]]:
    """Return whether a value of JSON or YAML is an object, whose keys are texts."""
    return isinstance(value, dict)


def is_mapping(value: object) -> TypeIs[Mapping[str, Any]]:
    """Return whether a value is a mapping, whose keys are taken to be texts."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeIs[list[Any]]:
    """Return whether a value of JSON or YAML is a list."""
    return isinstance(value, list)


def _refuse(name: str) -> NoReturn:
    msg = f"{name} is no JSON"
    raise ValueError(msg)
