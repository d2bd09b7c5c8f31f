"""Days at the edge of what a date holds, and what is no day, in every operation that takes one."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest

from adapters.memory_tables import MemoryTables
from tests.lifecycle.doubles import ManualClock
from tests.upgrade.world import World
from triggers.app import RESOURCES
from triggers.http.endpoint import DAY, Endpoint

EDGES = ("0001-01-01", "1969-12-31", "1970-01-01", "2999-12-31", "3000-01-01", "9999-12-31")
NO_DAYS = ("2026-02-30", "2026-W01-1", "20260101", "2026-1-1", "x", "٢٠٢٦-٠١-٠١")
PERIODS = (*EDGES, *NO_DAYS, "0001-01", "9999-12", "1970-01", "2999-12", "0001-W01", "1970-W01", "2999-W52", "9999-W52")
WITH_DAYS = [
    endpoint
    for package in RESOURCES
    for endpoint in package.ENDPOINTS
    if any(parameter.schema == DAY for parameter in endpoint.query.values())
]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Provide an app with an agent and a pool."""
    made = World(MemoryTables(), ManualClock())
    await made.done("PUT", "agents/a", {"model": "gpt-4o"})
    await made.done("PUT", "pools/a", {"agents": ["a"], "limits": {"concurrent_runs": 5}})
    yield made
    await made.aclose()


@pytest.mark.parametrize("endpoint", WITH_DAYS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
async def test_any_day_is_answered_or_refused_by_its_name(world: World, endpoint: Endpoint) -> None:
    """What the document's pattern does not allow is 400, and nothing is a defect."""
    path = re.sub(r"\{\w+\}", "a", endpoint.path)
    for name in (name for name, parameter in endpoint.query.items() if parameter.schema == DAY):
        for text in (*EDGES, *NO_DAYS):
            status, answer = await world.call(endpoint.method, f"{path}?{name}={text}")

            allowed = re.fullmatch(DAY["pattern"], text) is not None and text != "2026-02-30"
            assert status in ((200, 400) if allowed else (400,)), (name, text, status, answer)
            said = (answer.get("code"), [each["pointer"] for each in answer.get("errors", ())])
            assert allowed or said == ("invalid_day", [name]), (text, answer)


@pytest.mark.parametrize("period", PERIODS)
async def test_any_period_is_answered_or_refused(world: World, period: str) -> None:
    """A report of a period without any spend is not found; what names no period is 400."""
    status, answer = await world.call("GET", f"reports/{period}")

    assert (status, answer["code"]) in ((404, "report_not_found"), (400, "invalid_period"))
