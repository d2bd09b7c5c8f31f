"""Outcomes for the tests of performance."""

from __future__ import annotations

from typing import Any

from llmops.performance.outcomes import Ending, Outcome

from llmops.spend.usage import Spend
from tests.lifecycle.doubles import NOW

SPEND = Spend(calls=1, input_tokens=100, cached_tokens=20, output_tokens=50, cost_micro_usd=1000)


def outcome(run: str = "run-1", attempt: int = 1, **fields: Any) -> Outcome:
    values: dict[str, Any] = {
        "workspace": "default",
        "agent": "bot",
        "version": "1",
        "model": "gpt-4o",
        "run_id": run,
        "session_id": "chat",
        "attempt": attempt,
        "ending": Ending.SUCCEEDED,
        "code": "",
        "dead": False,
        "model_ms": 500,
        "total_ms": 1000,
        "queue_ms": 100,
        "spend": SPEND,
        "wasted": 0,
        "quality": 80,
        "at": NOW,
    }
    return Outcome(**values | fields)


def failure(run: str, code: str = "provider_unavailable", **fields: Any) -> Outcome:
    return outcome(run, **{"ending": Ending.FAILED, "code": code, "quality": None, "wasted": 1000} | fields)
