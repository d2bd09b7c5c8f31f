"""Conditions over a tool call's arguments, in the Common Expression Language (github.com/google/cel-spec).

CEL has no loops, no side effects and no way out of its values. What it does have that costs more than its input is long
are comprehensions inside comprehensions, so that a condition may hold one; and its length is bounded.
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
_TEXT = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_condition(text: str) -> str:
    """Return the condition if it is one.

    Raises:
        ValueError: It is not: empty, too long, not CEL, or it holds more than one comprehension.
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
        msg = "a condition is an expression of CEL over the arguments, like amount > 100"
        raise ValueError(msg) from None
    return text


def holds(condition: str, arguments: Mapping[str, Any]) -> bool:
    """Return whether the condition holds for a call's arguments; also where that cannot be said.

    The arguments go by their names, and all of them are `args`. A condition that fails, for want of an argument or
    because one is of another type, holds: what nobody can judge is for a person to look at.
    """
    named = {name: value for name, value in arguments.items() if _NAME.fullmatch(name)}
    try:
        return _compiled(condition).execute({**named, "args": dict(arguments)}) is not False
    except Exception as error:  # noqa: BLE001 - the library raises a dozen kinds, and all of them mean the same
        log.info("condition not decided: %s", type(error).__name__, extra={"event": "approval.condition_failed"})
        return True


def decided(condition: str, values: Mapping[str, Any]) -> bool:
    """Return whether the condition holds for the values.

    Raises:
        ValueError: It cannot be said: it uses what there is not, or something of another type, or is neither.
    """
    try:
        result = _compiled(condition).execute(dict(values))
    except Exception as error:  # noqa: BLE001 - the library raises a dozen kinds, and all of them mean the same
        raise ValueError(type(error).__name__) from None
    if not isinstance(result, bool):
        msg = "a condition is true or false"
        raise ValueError(msg)  # noqa: TRY004 - its value is wrong, not the caller's
    return result


def without_texts(condition: str) -> str:
    """Return the condition with every text in it empty, so that its words can be looked at."""
    return _TEXT.sub("''", condition)


@lru_cache(maxsize=512)
def _compiled(text: str) -> Program:
    from cel import compile as compiled  # noqa: PLC0415 - cold start

    return compiled(text)
