"""Built-in checks, as an agent's evaluation policy configures them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from lifecycle.evaluation import check_functions as graded
from lifecycle.evaluation.checks import Check
from llmops.evaluation.policy import EvaluationPolicy


def builtin_checks(
    policy: EvaluationPolicy,
    topics: Sequence[str],
    schema: Mapping[str, Any] | None,
    finish_reason: str | None = None,
) -> list[Check]:
    """Return the built-in checks for one answer.

    Args:
        policy: The agent's evaluation policy.
        topics: Topics that this answer should mention, besides the policy's.
        schema: JSON Schema that the answer has to follow; None for text.
        finish_reason: Why the model stopped; None if unknown.
    """
    expected = (*policy.topics, *(topic for topic in topics if topic not in policy.topics))
    functions = {
        "answered": graded.answered,
        "complete": partial(graded.complete, finish_reason=finish_reason),
        "topics": partial(graded.named, expected=expected),
        "citations": partial(graded.citations, wanted=policy.citations),
        "structure": partial(graded.structure, wanted=policy.structure),
        "length": partial(graded.length, least=policy.min_words, most=policy.max_words),
        "grounded": graded.grounded,
    }
    checks = [Check(name, function, inline=True) for name, function in functions.items()]
    return [*checks, _schema_check(schema)]


def _schema_check(schema: Mapping[str, Any] | None) -> Check:
    if schema is None:
        return Check("schema", partial(graded.schema_followed, schema=None), inline=True)
    text = json.dumps(schema, ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Check("schema", partial(graded.schema_followed, schema=text), key=f"schema {digest}")


BUILTIN = frozenset(check.name for check in builtin_checks(EvaluationPolicy(), (), None))
"""Names of built-in checks, which an app's own checks cannot have."""
