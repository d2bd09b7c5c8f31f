"""Typed dataclasses as JSON text, and back."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from kernel.errors import InternalError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from kernel.tables import Row

log = logging.getLogger(__name__)

T = TypeVar("T")
M = TypeVar("M", bound="BaseModel")
_VERSIONED = re.compile(r'\s*\{\s*"v"\s*:\s*(\d{1,9})\s*,\s*"value"\s*:')


class Unreadable(InternalError):
    """A stored value cannot be read: it is damaged, or was written by a later version of this app."""

    code = "unreadable_value"
    retriable = False


class Unwritable(InternalError):
    """A value cannot be stored, as it could not be read back."""

    code = "unwritable_value"
    retriable = False


class JsonCodec(Generic[T]):
    """Writes and reads values of one type. Its validator is built on first use, to keep cold starts short.

    Written values contain a version number. It is increased when the defaults of new fields are not enough to read
    older values.
    """

    def __init__(self, kind: type[T], version: int = 1, *, whole: bool = False) -> None:
        """Set the type and its version; `whole` says that it has no fractions, which makes checking faster."""
        self._kind = kind
        self._version = version
        self._whole = whole

    def dump(self, value: T) -> str:
        """Return the value as JSON text for `load`. Lone surrogates, which cannot be encoded, become U+FFFD.

        Raises:
            Unwritable: It could not be read back: a number or a name in it does not fit its type.
        """
        if self._whole:
            try:
                text = self._adapter.dump_json(value, warnings="error").decode()
            except PydanticSerializationError:
                pass  # a value does not fit its type, but may still be serializable
            else:
                if "null" not in text:  # nulls give no warning
                    return f'{{"v":{self._version},"value":{text}}}'
        try:
            text = self._written(value)
        except PydanticSerializationError:
            try:
                text = self._written(_encodable(self._adapter.dump_python(value, warnings="none")))
            except PydanticSerializationError as error:
                raise Unwritable from error
        try:
            self._adapter.validate_json(text)
        except ValidationError as error:
            raise Unwritable from _without_values(error)
        return f'{{"v":{self._version},"value":{text}}}'

    def load(self, text: str) -> T:
        """Return the value that `dump` of this or an earlier version wrote.

        Raises:
            Unreadable: The text is not valid, or was written by a later version.
        """
        if (found := _VERSIONED.match(text)) is not None:
            if int(found[1]) > self._version:
                msg = f"It has version {found[1]}; this app reads {self._kind.__name__} up to {self._version}."
                raise Unreadable(msg)
            text = text.rstrip()[found.end() : -1]
        try:
            return self._adapter.validate_json(text)
        except ValidationError as error:
            raise Unreadable from _without_values(error)

    def _written(self, value: Any) -> str:
        return self._adapter.dump_json(value, warnings="none").decode()

    @cached_property
    def _adapter(self) -> TypeAdapter[T]:
        return TypeAdapter(self._kind)


skipped: Counter[str] = Counter()
"""How many unreadable rows this process has skipped, by kind; counted at each read."""


def readable(rows: Iterable[Row], read: Callable[[Row], T], what: str) -> Iterator[T]:
    """Yield the value of each row; an unreadable one is skipped, logged by its key and counted."""
    for row in rows:
        try:
            yield read(row)
        except Unreadable as error:
            skip(row, what, error)


async def all_readable(rows: AsyncIterable[Row], read: Callable[[Row], T], what: str) -> AsyncIterator[T]:
    """Yield the value of each row, like `readable`."""
    async for row in rows:
        for value in readable([row], read, what):
            yield value


def stored_model(kind: type[M], text: str, what: str) -> M:
    """Return a pydantic model that is stored as its JSON.

    Raises:
        Unreadable: It is damaged, or of a later release; the error has none of its values, which may be users' texts.
    """
    try:
        return kind.model_validate_json(text)
    except ValidationError:
        msg = f"The stored {what} cannot be read."
        raise Unreadable(msg) from None


async def if_readable(reading: Awaitable[T | None], what: str, key: str) -> T | None:
    """Return what is read; None if it is unreadable, which is logged by the key and counted."""
    try:
        return await reading
    except Unreadable as error:
        pass_over(what, key, error)
        return None


def skip(row: Row, what: str, error: Unreadable) -> None:
    """Log and count a row that is skipped because it is unreadable."""
    pass_over(what, f"{row.partition}/{row.key}", error)


def pass_over(what: str, key: str, error: Unreadable) -> None:
    """Log and count something that is skipped because it is unreadable."""
    skipped[what] += 1
    log.error("%s %s: %s", what, key, error.detail, extra={"event": "storage.unreadable_row"})


def _encodable(value: Any) -> Any:
    """Return the value with every text in it made encodable."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            return {_encodable(key): _encodable(each) for key, each in cast("dict[Any, Any]", value).items()}
        case list() | tuple() | set() | frozenset():
            return [_encodable(each) for each in cast("Iterable[Any]", value)]
        case _:
            return value


def _without_values(error: ValidationError) -> Exception:
    """Return the error without the values, which may be users' texts."""
    wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['type']}" for each in error.errors()[:5])
    return ValueError(wrong)
