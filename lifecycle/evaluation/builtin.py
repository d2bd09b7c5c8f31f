"""The checks that every app has: those of `llmops.evaluation.texts`, as an agent's policy asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lifecycle.evaluation.checks import Check
from llmops.evaluation import texts
from llmops.evaluation.policy import EvaluationPolicy


def builtin_checks(policy: EvaluationPolicy, topics: Sequence[str], schema: Mapping[str, Any] | None) -> list[Check]:
    """Return the checks for one answer.

    Args:
        policy: What a good answer of the agent is.
        topics: What the answer to this question should speak of, besides the policy's topics.
        schema: The JSON Schema that the answer is to follow; None for text.
    """
    expected = (*policy.topics, *(topic for topic in topics if topic not in policy.topics))

    async def answered(response: str) -> float:
        return texts.answered(response) / 100

    async def named(response: str) -> float | None:
        return _share(texts.topics(response, expected))

    async def citations(response: str) -> float | None:
        return _share(texts.citations(response, policy.citations))

    async def structure(response: str) -> float | None:
        return _share(texts.structure(response, policy.structure))

    async def length(response: str) -> float | None:
        return _share(texts.length(response, policy.min_words, policy.max_words))

    async def grounded(response: str, context: str | None) -> float | None:
        return _share(texts.grounded(response, context))

    async def schema_followed(response: str) -> float | None:
        return _share(texts.follows(response, schema))

    functions = {
        "answered": answered,
        "topics": named,
        "citations": citations,
        "structure": structure,
        "length": length,
        "grounded": grounded,
        "schema": schema_followed,
    }
    return [Check(name, function) for name, function in functions.items()]


BUILTIN = frozenset(check.name for check in builtin_checks(EvaluationPolicy(), (), None))
"""The names that checks of one's own cannot have."""


def _share(percentage: int | None) -> float | None:
    return None if percentage is None else percentage / 100
