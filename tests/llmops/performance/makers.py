"""Facts for the tests of performance."""

from __future__ import annotations

from typing import Any

from llmops.facts.attempt_fact import AttemptFact, Ending
from llmops.spend.usage import Spend
from tests.llmops.conftest import fact

SPEND = Spend(calls=1, input_tokens=100, cached_tokens=20, output_tokens=50, cost_micro_usd=1000)


def outcome(run: str = "run-1", attempt: int = 1, **fields: Any) -> AttemptFact:
    return fact(run, attempt, **{"model": "gpt-4o", "model_ms": 500, "spend": SPEND, "quality": 80} | fields)


def failure(run: str, code: str = "provider_unavailable", **fields: Any) -> AttemptFact:
    return outcome(run, **{"ending": Ending.FAILED, "code": code, "quality": None} | fields)
