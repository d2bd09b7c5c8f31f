"""Strict parsing of JSON from outside: refuses what could not be stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from typing_extensions import TypeIs


def parse_json(body: bytes) -> Any:
    """Return the values of a JSON text (RFC 8259) in UTF-8; a byte order mark is skipped.

    Raises:
        ValueError: It is not JSON; it has a lone surrogate, which cannot be stored, or NaN or an infinity, which are
            not JSON; or it is nested too deeply.
    """
    try:
        values = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse)
        # Only an escape can contain one, so most bodies need no search.
        if b"\\u" in body:
            json.dumps(values, ensure_ascii=False).encode()
    except RecursionError:
        msg = "nested too deeply"
        raise ValueError(msg) from None
    return values


def is_object(value: object) -> TypeIs[dict[str, Any]]:
    """Return whether a value of JSON or YAML is an object; its keys are texts."""
    return isinstance(value, dict)


def is_mapping(value: object) -> TypeIs[Mapping[str, Any]]:
    """Return whether a value is a mapping; its keys are assumed to be texts."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeIs[list[Any]]:
    """Return whether a value of JSON or YAML is a list."""
    return isinstance(value, list)


def _refuse(name: str) -> NoReturn:
    msg = f"{name} is not JSON"
    raise ValueError(msg)
