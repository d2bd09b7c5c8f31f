"""The functions of the built-in checks, apart from the policy that binds them, so that another process starts fast.

Those of text are linear, and run on the event loop for short texts. A JSON Schema can ask for more than linear time:
its check always runs in another process.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmops.evaluation import grounding, text_checks
from llmops.evaluation.markdown import Structure


def answered(response: str) -> float:
    """Grade whether it answers."""
    return text_checks.answered(response) / 100


def complete(finish_reason: str | None) -> float | None:
    """Grade whether it was cut."""
    return _share(text_checks.complete(finish_reason))


def named(response: str, expected: Sequence[str]) -> float | None:
    """Grade the topics it names."""
    return _share(text_checks.topics(response, expected))


def citations(response: str, wanted: int | None) -> float | None:
    """Grade the sources it cites."""
    return _share(text_checks.citations(response, wanted))


def structure(response: str, wanted: Sequence[Structure]) -> float | None:
    """Grade the elements it has."""
    return _share(text_checks.structure(response, wanted))


def length(response: str, least: int | None, most: int | None) -> float | None:
    """Grade how long it is."""
    return _share(text_checks.length(response, least, most))


def grounded(response: str, context: str | None) -> float | None:
    """Grade what of it the context bears out."""
    return _share(grounding.grounded(response, context))


def schema_followed(response: str, schema: str | None) -> float | None:
    """Grade whether it follows a schema, which is given as JSON."""
    if schema is None:
        return None
    from llmops.evaluation.json_schema import follows  # noqa: PLC0415 - in the process that needs it

    return follows(response, schema) / 100


def _share(percentage: int | None) -> float | None:
    return None if percentage is None else percentage / 100
