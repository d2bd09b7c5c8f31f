"""Readers of settings: each converts an environment variable's text; a wrong one raises ValueError with the rule."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import field
from typing import Any, cast

from kernel.lazy_dataclass import dataclass

_FLAGS = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", "off"), False),
}


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that is not shown when it is printed or logged."""

    _value: str = field(repr=False)

    def get_secret_value(self) -> str:
        """Return the text."""
        return self._value


NO_SECRET = Secret("")


def setting(default: Any, alias: str, read: Callable[[Any], Any]) -> Any:
    """Return a field of `Settings`: its default, its name in the environment, and its reader."""
    return field(default=default, metadata={"alias": alias, "read": read})


def text(pattern: re.Pattern[str] | None = None) -> Callable[[Any], str]:
    """Return a reader of texts, optionally of those that the pattern fully matches."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("not a text")  # noqa: TRY004 - told with the setting, like any other mistake
        if pattern is not None and not pattern.fullmatch(value):
            msg = f"not of the form {pattern.pattern}"
            raise ValueError(msg)
        return value

    return read


def name(value: Any) -> str:
    """Read a text of 1-128 characters."""
    if not isinstance(value, str) or not 1 <= len(value) <= 128:
        raise ValueError("not a text of 1-128 characters")
    return value


def secret(value: Any) -> Secret:
    """Read a secret text."""
    return value if isinstance(value, Secret) else Secret(text()(value))


def flag(value: Any) -> bool:
    """Read a boolean: true or false, in common spellings."""
    value_of = _FLAGS.get(str(value).strip().lower())
    if value_of is None:
        raise ValueError("neither true nor false")
    return value_of


def choice(*choices: str) -> Callable[[Any], str]:
    """Return a reader of one of the given texts."""

    def read(value: Any) -> str:
        if value not in choices:
            msg = f"none of {', '.join(choices)}"
            raise ValueError(msg)
        return value

    return read


def number(least: float, most: float, *, above: bool = False) -> Callable[[Any], float]:
    """Return a reader of numbers from `least` to `most`, inclusive; with `above`, `least` is excluded."""

    def read(value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError("not a number") from None
        if not least <= number <= most or (above and number == least):
            msg = f"not a number {'above' if above else 'from'} {least} to {most}"
            raise ValueError(msg)
        return value if isinstance(value, int) else number

    return read


def whole(least: int, most: int) -> Callable[[Any], int]:
    """Return a reader of whole numbers from `least` to `most`, inclusive."""
    read_number = number(least, most)

    def read(value: Any) -> int:
        number = float(read_number(value))
        if not number.is_integer():
            raise ValueError("not a whole number")
        return int(number)

    return read


def shares(count: int) -> Callable[[Any], tuple[float, ...]]:
    """Return a reader of `count` comma-separated numbers, 0-1, whose sum is 1."""
    read_number = number(0, 1)

    def read(value: Any) -> tuple[float, ...]:
        parts: Any = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple) or len(cast("tuple[Any, ...]", parts)) != count:
            msg = f"not {count} numbers with commas between"
            raise ValueError(msg)
        found = tuple(float(read_number(part)) for part in cast("tuple[Any, ...]", parts))
        if abs(sum(found) - 1) > 1e-6:
            raise ValueError("they do not add up to 1")
        return found

    return read


seconds = number(0, 366 * 86400, above=True)
