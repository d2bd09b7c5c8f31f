"""Reading the facts of many days: all of them where there are few, however they are spread."""

from __future__ import annotations

from datetime import timedelta

import pytest

from adapters.memory_tables import MemoryTables
from llmops.facts.fact_store import Facts
from llmops.optimization.rule_input import FactHistory
from tests.llmops.conftest import NOW, fact

TODAY = NOW.date()


@pytest.mark.parametrize("ago", [0, 45, 89])
async def test_few_facts_are_read_whole_however_long_the_window_is(ago: int) -> None:
    """That they are all of one day and agent takes nothing away: others do not need their share."""
    tables = MemoryTables()
    for number in range(60):
        await Facts(tables).record(fact(f"r{number:02d}", at=NOW - timedelta(days=ago)))
    found, whole = await FactHistory(tables).read("default", None, TODAY - timedelta(days=89), TODAY, most=100)

    assert (len(found), whole) == (60, True)


async def test_of_too_many_facts_as_many_are_read_as_may_be() -> None:
    """An equal share of the days that have more, and the answer says that these are not all."""
    tables = MemoryTables()
    for number in range(40):
        await Facts(tables).record(fact(f"r{number:02d}", at=NOW - timedelta(days=number % 2)))
    found, whole = await FactHistory(tables).read("default", "bot", TODAY - timedelta(days=4), TODAY, most=20)
    days = [one.timing.ended_at.date() for one in found]

    assert (len(found), whole) == (20, False)
    assert days.count(TODAY) == 10
