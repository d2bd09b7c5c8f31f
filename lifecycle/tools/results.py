"""Renders a tool's result for a model: as text of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from pydantic_core import to_json

from kernel.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Rendered:
    """A result as text.

    Attributes:
        text: The text for the model.
        size: Size of the whole result, in bytes of UTF-8.
    """

    text: str
    size: int


def rendered(value: Any, most: int) -> Rendered:
    """Return a result as text of about `most` bytes: strings unchanged, anything else as JSON.

    NaN and infinities become null, as JSON has none. Of bytes only the number is given. Objects without a JSON form are
    given by their type's name, never by their `repr`.

    Raises:
        ValueError: It contains itself, or is nested too deeply.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        size = memoryview(cast("bytes", value)).nbytes
        return Rendered(f"[{size:,} bytes that are no text]", size)
    if isinstance(value, str):
        whole = value.encode(errors="replace")
    elif isinstance(value, Iterator):
        whole = _named(cast("object", value)).encode()  # may be very long
    else:
        whole = to_json(value, inf_nan_mode="null", bytes_mode="base64", fallback=_named, serialize_unknown=True)
    return cut(whole, most)


def cut(whole: bytes, most: int) -> Rendered:
    """Return the text; if too long, its beginning with a note of the full size."""
    if len(whole) <= most:
        return Rendered(whole.decode(), len(whole))
    note = f"\n[cut: the result has {len(whole):,} bytes, these are the first {most:,}]"
    return Rendered(whole[:most].decode(errors="ignore") + note, len(whole))


def _named(value: object) -> str:
    return f"[{type(value).__name__}]"
