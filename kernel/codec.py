"""Values of typed dataclasses as JSON text, and back."""

from __future__ import annotations

from functools import cached_property
from typing import Generic, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


class JsonCodec(Generic[T]):
    """Writes and reads values of one type. Its validator is built on first use: a cold start must not pay for it."""

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind

    def dump(self, value: T) -> str:
        """Return the value as JSON text."""
        return self._adapter.dump_json(value).decode()

    def load(self, text: str) -> T:
        """Return the value that `dump` wrote.

        Raises:
            pydantic.ValidationError: The text is none of its.
        """
        return self._adapter.validate_json(text)

    @cached_property
    def _adapter(self) -> TypeAdapter[T]:
        return TypeAdapter(self._kind)
