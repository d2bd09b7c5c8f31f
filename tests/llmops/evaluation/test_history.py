"""Keeping scores, and summing them up exactly once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from adapters.memory_tables import MemoryTables
from llmops.evaluation.moments import Moments
from llmops.evaluation.scoring import Part, Score
from llmops.facts.scores import Evaluation, Evaluations, by_version
from tests.lifecycle.doubles import Crash, Fate, FatefulTables

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def evaluation(number: int = 0, *, version: str = "1", overall: int = 80) -> Evaluation:
    at = NOW + timedelta(seconds=number)
    return Evaluation("default", "helper", version, f"run-{number}", "s", 1, at, Score(overall, {"answered": overall}))


async def test_evaluations_are_listed_newest_first_and_paged() -> None:
    history = Evaluations(MemoryTables())
    for number in range(5):
        await history.record(evaluation(number, version=str(number % 2)))

    first, after = await history.list("default", "helper", 2)
    rest, end = await history.list("default", "helper", 9, after=after)

    assert [one.run_id for one in (*first, *rest)] == ["run-4", "run-3", "run-2", "run-1", "run-0"]
    assert end is None
    assert [one.run_id for one in (await history.list("default", "helper", 9, version="1"))[0]] == ["run-3", "run-1"]
    assert (await history.list("other", "helper", 9)) == ([], None)


async def test_sums_are_by_version_day_and_part() -> None:
    history = Evaluations(MemoryTables())
    for number in range(250):  # more than one transaction holds
        await history.record(evaluation(number, version="a/1" if number < 100 else "2"))
    await history.record(replace(evaluation(1), at=NOW + timedelta(days=1), run_id="tomorrow", version="2"))

    sums = await history.sums("default", "helper")

    assert sorted((one.version, str(one.day), one.parts["overall"].count) for one in sums) == [
        ("2", "2026-11-21", 150),
        ("2", "2026-11-22", 1),
        ("a/1", "2026-11-21", 100),
    ]
    assert by_version(sums)["2"]["answered"] == Moments(151, 151 * 80, 151 * 6400)
    assert await history.sums("default", "helper", "2") == [one for one in sums if one.version == "2"]


async def test_a_judge_is_heard_once_and_changes_the_sums() -> None:
    history = Evaluations(MemoryTables())
    await history.record(evaluation(), ["judge"])
    (waiting,) = await history.waiting("default", "helper", 10)

    judged = await history.judged(waiting, [Part("judge", 20, "Wrong.")], {}, NOW)
    again = await history.judged(waiting, [Part("judge", 100)], {}, NOW)

    assert judged is not None
    assert judged.score == Score(50, {"answered": 80, "judge": 20}, {"judge": "Wrong."})
    assert again == judged
    await history.settle(waiting)
    await history.settle(waiting)
    assert await history.waiting("default", "helper", 10) == []
    assert by_version(await history.sums("default", "helper"))["1"] == {
        "overall": Moments.of(50),
        "answered": Moments.of(80),
        "judge": Moments.of(20),
    }


async def test_a_judge_that_cannot_be_heard_waits_and_counts() -> None:
    history = Evaluations(MemoryTables())
    await history.record(evaluation(), ["judge"])
    (waiting,) = await history.waiting("default", "helper", 10)

    await history.put_off(waiting)
    await history.put_off(waiting)  # the ETag is an old one: somebody noted it already

    assert [one.tries for one in await history.waiting("default", "helper", 10)] == [1]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("strike", range(1, 15))
async def test_a_crash_anywhere_counts_every_score_once(strike: int, after: bool) -> None:
    """Dies before or after each effect; then the same is done again, and the sums are as if nothing had happened."""
    tables = MemoryTables()
    fate = Fate(strike, after=after)

    async def work(history: Evaluations) -> None:
        for number in range(3):
            await history.record(evaluation(number), ["judge"])
        await history.fold("default", "helper")
        for waiting in await history.waiting("default", "helper", 10):
            await history.judged(waiting, [Part("judge", 20)], {}, NOW)
            await history.settle(waiting)
        await history.fold("default", "helper")

    try:
        await work(Evaluations(FatefulTables(tables, fate)))
    except Crash:
        await work(Evaluations(tables))

    sums = by_version(await Evaluations(tables).sums("default", "helper"))["1"]
    assert sums["answered"] == Moments(3, 240, 3 * 6400)
    assert sums["judge"] == Moments(3, 60, 1200)
    assert sums["overall"] == Moments(3, 150, 7500)


async def test_many_folding_at_once_count_every_score_once() -> None:
    tables = MemoryTables()
    for number in range(300):
        await Evaluations(tables).record(evaluation(number))

    await asyncio.gather(*(Evaluations(tables).fold("default", "helper") for _ in range(6)))

    assert by_version(await Evaluations(tables).sums("default", "helper"))["1"]["overall"].count == 300
