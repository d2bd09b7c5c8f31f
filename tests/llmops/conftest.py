"""Fixtures and makers of the llmops tests."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters.memory_tables import MemoryTables
from llmops.budgets.budget_rules import CostAttribution
from llmops.budgets.reservations import Intent
from llmops.evaluation.combined_score import Score
from llmops.facts.attempt_fact import AttemptFact, Attribution, Call, Ending, Timing
from llmops.spend.usage import Spend, Usage
from tests.lifecycle.doubles import NOW


@pytest.fixture
def tables() -> MemoryTables:
    return MemoryTables()


def intent(run: str = "run-1", attempt: int = 1, call: int = 1) -> Intent:
    """Return a model call that is to be made, at its estimate."""
    one = Call(call, NOW, "openai", "gpt-4o-mini", Usage(input_tokens=10, output_tokens=5), 3)
    return Intent(CostAttribution("default", "bot", "chat", run, "ann"), attempt, one)


def call(number: int = 1, **fields: Any) -> Call:
    values: dict[str, Any] = {
        "number": number,
        "at": NOW,
        "provider": "openai",
        "model": "gpt-4o-mini",
        "usage": Usage(input_tokens=10, cached_tokens=4, output_tokens=5, reasoning_tokens=2),
        "cost_micro_usd": 7,
        "rate": "$1/MTok",
        "latency_ms": 12,
    }
    return Call(**values | fields)


def fact(run: str = "run-1", attempt: int = 1, **fields: Any) -> AttemptFact:
    """Return a fact of one call.

    Besides its own fields and those of whom it concerns: `at` when it ended, `total_ms`, `queue_ms`; of its call
    `model`, `provider`, `cost_micro_usd`, `spend` and `model_ms`; `quality`, its score.
    """
    at: datetime = fields.pop("at", NOW)
    accepted = at - timedelta(milliseconds=fields.pop("total_ms", 1000))
    started = accepted + timedelta(milliseconds=fields.pop("queue_ms", 100))
    who = {"workspace": "default", "agent": "bot", "session_id": "chat", "user_id": "ann", "version": "1"}
    who |= {name: fields.pop(name) for name in list(fields) if name in who}
    of_call = {name: fields.pop(name) for name in ("model", "provider", "cost_micro_usd") if name in fields}
    if (spend := fields.pop("spend", None)) is not None:
        usage = Usage(spend.input_tokens, spend.cached_tokens, 0, spend.output_tokens)
        of_call |= {"usage": usage, "cost_micro_usd": spend.cost_micro_usd}
    of_call |= {"latency_ms": fields.pop("model_ms", 12), "at": at}
    quality = fields.pop("quality", None)
    values: dict[str, Any] = {
        "ending": Ending.SUCCEEDED,
        "calls": () if spend == Spend() else (call(1, **of_call),),
        "score": None if quality is None else Score(quality, {"answered": quality}),
    }
    return AttemptFact(
        Attribution(run_id=run, **who), attempt, Timing(accepted, started, started, at), **values | fields
    )


def days_ago(count: int) -> Any:
    return NOW - timedelta(days=count)
