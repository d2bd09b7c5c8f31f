"""Names of the conditions on which a team hands a session over."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, StringConstraints, Tag

Condition = Literal[
    "keyword_detected",
    "capability_requested",
    "sentiment_below",
    "quality_below",
    "failures",
    "cost_above",
    "turns_above",
    "always",
]
Extended = Annotated[str, StringConstraints(pattern=r"^extension:[a-z][a-z0-9_]{0,63}$")]
"""A condition of an extension."""


def _kind(value: Any) -> str:
    """Return the kind of a condition, so that errors are reported for that kind only."""
    return "(extension)" if isinstance(value, str) and value.startswith("extension:") else "(own)"


AnyCondition = Annotated[
    Annotated[Condition, Tag("(own)")] | Annotated[Extended, Tag("(extension)")], Discriminator(_kind)
]
