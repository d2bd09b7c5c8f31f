"""Fixtures of the lifecycle tests."""

from __future__ import annotations

import pytest

from adapters.memory_tables import MemoryTables
from tests.lifecycle.doubles import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def tables() -> MemoryTables:
    return MemoryTables()
