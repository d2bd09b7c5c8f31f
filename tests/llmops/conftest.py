"""Fixtures and makers of the llmops tests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from adapters.memory_tables import MemoryTables
from llmops.spend.ledger import Line
from llmops.spend.usage import Usage
from tests.lifecycle.doubles import NOW


@pytest.fixture
def tables() -> MemoryTables:
    return MemoryTables()


def line(run: str = "run-1", attempt: int = 1, call: int = 1, **fields: Any) -> Line:
    values: dict[str, Any] = {
        "workspace": "default",
        "run_id": run,
        "attempt": attempt,
        "call": call,
        "at": NOW,
        "agent": "bot",
        "session_id": "chat",
        "user_id": "ann",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "usage": Usage(input_tokens=10, cached_tokens=4, output_tokens=5, reasoning_tokens=2),
        "cost_micro_usd": 7,
        "rate": "$1/MTok",
        "latency_ms": 12,
    }
    return Line(**values | fields)


def days_ago(count: int) -> Any:
    return NOW - timedelta(days=count)
