"""Checks as an app's owner writes them: some that work, and some that nobody should have written."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

from lifecycle.evaluation.checks import check


@check
def short(response: str) -> bool:
    print("what a check prints is not what it found")
    return len(response) < 10


@check(name="on_topic")
async def topical(query: str, response: str) -> tuple[float, str]:
    await asyncio.sleep(0)
    return 0.25, f"{len(query)} and {len(response)} characters."


@check
def nothing(context: str | None, language: str = "en") -> None:
    assert (context, language) == (None, "en")


@check
def spoken(conversation: list[Any]) -> tuple[float, str]:
    return 1.0, ", ".join(f"{message.role} {len(message.text)}" for message in conversation)


@check
def polite(response: str) -> tuple[float, str]:
    return 0.4, "It never says please."


@check
async def broken(response: str) -> bool:
    raise ValueError(response)


@check
def leaving(response: str) -> bool:
    sys.exit(1)


@check
def dying(response: str) -> bool:
    os._exit(1)


@check
def hanging(response: str) -> bool:
    while True:
        pass


@check
def backtracking(response: str) -> bool:
    """Holds the interpreter: no thread of its process can do anything meanwhile, nor can a signal's handler."""
    return bool(re.fullmatch(r"(a+)+", "a" * 64 + "!"))


@check
def noting(query: str) -> bool:
    """Holds the interpreter once it has made a file of this name."""
    Path(query).touch()
    return bool(re.fullmatch(r"(a+)+", "a" * 64 + "!"))


@check
def too_good(response: str) -> float:
    return 2


@check
def negative(response: str) -> float:
    return -0.1


@check
def wordy(response: str) -> Any:
    return "good"


@check
def no_number(response: str) -> float:
    return float("nan")


@check
def many(response: str) -> Any:
    return 1, 2, 3


@check
def who(response: str) -> tuple[float, str]:
    return 1.0, str(os.getpid())
