"""Values of typed dataclasses as JSON text, and back."""

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
    from kernel.tables import Row

log = logging.getLogger(__name__)

T = TypeVar("T")
_VERSIONED = re.compile(r'\s*\{\s*"v"\s*:\s*(\d{1,9})\s*,\s*"value"\s*:')


class Unreadable(InternalError):
    """A stored value cannot be read: it is damaged, or a later version of this app wrote it."""

    code = "unreadable_value"
    retriable = False


class Unwritable(InternalError):
    """A value cannot be stored: it could not be read again."""

    code = "unwritable_value"
    retriable = False


class JsonCodec(Generic[T]):
    """Writes and reads values of one type. Its validator is built on first use: a cold start must not pay for it.

    What it writes says its version. A type whose older values are read otherwise than by the defaults of its fields
    gets the next one.
    """

    def __init__(self, kind: type[T], version: int = 1, *, whole: bool = False) -> None:
        """Set the type and the version of its form; `whole`: it holds no fractions, and checking it takes less."""
        self._kind = kind
        self._version = version
        self._whole = whole

    def dump(self, value: T) -> str:
        """Return the value as JSON text that `load` reads. Half a surrogate pair, which is no text, becomes U+FFFD.

        Raises:
            Unwritable: It could not be read again: a number or a name in it is none of its type's.
        """
        if self._whole:
            try:
                text = self._adapter.dump_json(value, warnings="error").decode()
            except PydanticSerializationError:
                pass  # something in it is none of its type's, but may yet be written as such
            else:
                if "null" not in text:  # which no type is warned of
                    return f'{{"v":{self._version},"value":{text}}}'
        try:
            text = self._written(value)
        except PydanticSerializationError:
            try:
                text = self._written(_mended(self._adapter.dump_python(value, warnings="none")))
            except PydanticSerializationError as error:
                raise Unwritable from error
        try:
            self._adapter.validate_json(text)
        except ValidationError as error:
            raise Unwritable from _without_values(error)
        return f'{{"v":{self._version},"value":{text}}}'

    def load(self, text: str) -> T:
        """Return the value that `dump` wrote, this version's or an earlier one's.

        Raises:
            Unreadable: The text is none of its, or a later version's.
        """
        if (found := _VERSIONED.match(text)) is not None:
            if int(found[1]) > self._version:
                msg = f"It is of version {found[1]}; this app reads {self._kind.__name__} up to {self._version}."
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
"""How many unreadable rows this process has passed over, by what they are; each look at one counts."""


def readable(rows: Iterable[Row], read: Callable[[Row], T], what: str) -> Iterator[T]:
    """Yield what each row holds; one that cannot be read is passed over, logged by its key and counted."""
    for row in rows:
        try:
            yield read(row)
        except Unreadable as error:
            skip(row, what, error)


async def all_readable(rows: AsyncIterable[Row], read: Callable[[Row], T], what: str) -> AsyncIterator[T]:
    """Yield what each row holds, as `readable` does."""
    async for row in rows:
        for value in readable([row], read, what):
            yield value


async def if_readable(reading: Awaitable[T | None], what: str, key: str) -> T | None:
    """Return what is read; None where it cannot be, which is passed over, logged by the key and counted."""
    try:
        return await reading
    except Unreadable as error:
        pass_over(what, key, error)
        return None


def skip(row: Row, what: str, error: Unreadable) -> None:
    """Log and count a row that is passed over because it cannot be read."""
    pass_over(what, f"{row.partition}/{row.key}", error)


def pass_over(what: str, key: str, error: Unreadable) -> None:
    """Log and count something that is passed over because it cannot be read."""
    skipped[what] += 1
    log.error("%s %s: %s", what, key, error.detail, extra={"event": "storage.unreadable_row"})


def _mended(value: Any) -> Any:
    """Return the value with every text in it made one that can be written down."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            return {_mended(key): _mended(each) for key, each in cast("dict[Any, Any]", value).items()}
        case list() | tuple() | set() | frozenset():
            return [_mended(each) for each in cast("Iterable[Any]", value)]
        case _:
            return value


def _without_values(error: ValidationError) -> Exception:
    """Return what is wrong without the values, which may be texts of users."""
    wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['type']}" for each in error.errors()[:5])
    return ValueError(wrong)
