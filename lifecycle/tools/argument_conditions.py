"""Conditions over a tool call's arguments, in the Common Expression Language (github.com/google/cel-spec).

CEL has no loops and no side effects, and reaches nothing but its values. Only nested comprehensions can cost more than
linear time, so a condition may have one; and its length is limited.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cel import Program

log = logging.getLogger(__name__)

MAX_LENGTH = 500
"""Most characters of a condition."""
_COMPREHENSION = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(")
_BOUND = re.compile(_COMPREHENSION.pattern + r"\s*([A-Za-z_]\w*)\s*,")
_TEXT = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_condition(text: str, values: str = "the arguments, like amount > 100") -> str:
    """Return the condition if it is valid.

    Args:
        text: The condition.
        values: What it is about, with an example, for people to read.

    Raises:
        ValueError: It is empty, too long, not CEL, or has more than one comprehension.
    """
    if not text.strip() or len(text) > MAX_LENGTH:
        msg = f"a condition has 1 to {MAX_LENGTH} characters"
        raise ValueError(msg)
    if len(_COMPREHENSION.findall(without_texts(text))) > 1:
        msg = "a condition holds at most one of .all, .exists, .exists_one, .map and .filter"
        raise ValueError(msg)
    try:
        _compiled(text)
    except ValueError:
        msg = f"a condition is an expression of CEL over {values}"
        raise ValueError(msg) from None
    return text


def holds(condition: str, arguments: Mapping[str, Any]) -> bool:
    """Return whether the condition is true for a call's arguments; True also if it cannot be evaluated.

    Arguments are variables by name, and all of them are `args`. A condition that cannot be evaluated, e.g. because an
    argument is missing or of another type, counts as true, so that a person decides.
    """
    named = {name: value for name, value in arguments.items() if _NAME.fullmatch(name)}
    try:
        return _compiled(condition).execute({**named, "args": dict(arguments)}) is not False
    except Exception as error:  # noqa: BLE001 - the library raises a dozen kinds, and all of them mean the same
        log.info("condition not evaluated: %s", type(error).__name__, extra={"event": "approval.condition_failed"})
        return True


def decided(condition: str, values: Mapping[str, Any]) -> bool:
    """Return whether the condition is true for the values.

    Raises:
        ValueError: It cannot be evaluated: a name is missing, a type does not fit, or the result is no boolean.
    """
    try:
        result = _compiled(condition).execute(dict(values))
    except Exception as error:  # noqa: BLE001 - the library raises a dozen kinds, and all of them mean the same
        raise ValueError(type(error).__name__) from None
    if not isinstance(result, bool):
        msg = "a condition is true or false"
        raise ValueError(msg)  # noqa: TRY004 - its value is wrong, not the caller's
    return result


def variables(condition: str) -> frozenset[str]:
    """Return the variables that a valid condition uses, without those that its comprehension defines."""
    return frozenset(_compiled(condition).variables()) - {*_BOUND.findall(without_texts(condition))}


def without_texts(condition: str) -> str:
    """Return the condition with all string literals emptied, so that names in it can be found."""
    return _TEXT.sub("''", condition)


@lru_cache(maxsize=512)
def _compiled(text: str) -> Program:
    from cel import compile as compiled  # noqa: PLC0415 - cold start

    return compiled(text)
