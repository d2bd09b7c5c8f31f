"""What a model is given of a tool's result: text, of bounded size, whatever the tool returned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from pydantic_core import to_json


@dataclass(frozen=True, slots=True)
class Rendered:
    """A result as text.

    Attributes:
        text: What the model is given.
        size: How many bytes of UTF-8 the whole result has.
    """

    text: str
    size: int


def rendered(value: Any, most: int) -> Rendered:
    """Return a result as text of about `most` bytes: strings as they are, anything else as JSON.

    JSON has no NaN and no infinity: they become null. Bytes are not shown, only how many there are. An object that JSON
    has no form for is shown by the name of its type, never by what it says of itself.

    Raises:
        ValueError: It contains itself, or is nested too deeply.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        size = memoryview(cast("bytes", value)).nbytes
        return Rendered(f"[{size:,} bytes that are no text]", size)
    if isinstance(value, str):
        whole = value.encode(errors="replace")
    elif isinstance(value, Iterator):
        whole = _named(cast("object", value)).encode()  # it may have no end
    else:
        whole = to_json(value, inf_nan_mode="null", bytes_mode="base64", fallback=_named, serialize_unknown=True)
    return cut(whole, most)


def cut(whole: bytes, most: int) -> Rendered:
    """Return the text, or its beginning with a note of how much there was."""
    if len(whole) <= most:
        return Rendered(whole.decode(), len(whole))
    note = f"\n[cut: the result has {len(whole):,} bytes, these are the first {most:,}]"
    return Rendered(whole[:most].decode(errors="ignore") + note, len(whole))


def _named(value: object) -> str:
    return f"[{type(value).__name__}]"
