"""Functions of the built-in checks, in a module with few imports, so that check processes start fast.

Those of text take linear time, and run on the event loop for short texts. Validating by a JSON Schema can take more:
that check always runs in another process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmops.evaluation import text_checks

if TYPE_CHECKING:
    from llmops.evaluation.markdown import Structure


def answered(response: str) -> float:
    """Grade whether there is an answer."""
    return text_checks.answered(response) / 100


def complete(finish_reason: str | None) -> float | None:
    """Grade whether the answer is complete; None if unknown."""
    return _share(text_checks.complete(finish_reason))


def named(response: str, expected: Sequence[str]) -> float | None:
    """Grade the share of topics that the answer names; None if there are none."""
    return _share(text_checks.topics(response, expected))


def citations(response: str, wanted: int | None) -> float | None:
    """Grade the citations of sources; None if none are wanted."""
    return _share(text_checks.citations(response, wanted))


def structure(response: str, wanted: Sequence[Structure]) -> float | None:
    """Grade the wanted structural elements; None if none are wanted."""
    return _share(text_checks.structure(response, wanted))


def length(response: str, least: int | None, most: int | None) -> float | None:
    """Grade the answer's length; None without limits."""
    return _share(text_checks.length(response, least, most))


def grounded(response: str, context: str | None) -> float | None:
    """Grade how much of the answer the context supports; None without a context."""
    return _share(text_checks.grounded(response, context))


def schema_followed(response: str, schema: str | None) -> float | None:
    """Grade whether the answer follows the schema, which is given as JSON; None without one."""
    if schema is None:
        return None
    from llmops.evaluation.json_schema import follows  # noqa: PLC0415 - in the process that needs it

    return follows(response, schema) / 100


def _share(percentage: int | None) -> float | None:
    return None if percentage is None else percentage / 100
