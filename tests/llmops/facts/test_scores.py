"""Keeping scores, and summing them up exactly once."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters.memory_tables import MemoryTables
from kernel.errors import Unavailable
from kernel.tables import Tables
from llmops.evaluation.combined_score import Part, Score
from llmops.evaluation.score_distribution import ScoreDistribution
from llmops.facts.attempt_fact import AttemptFact
from llmops.facts.fact_store import Facts
from llmops.facts.scores import Evaluations, PendingEvaluation, by_version, cursor
from llmops.facts.summing import OPEN_DAYS, FactAggregation
from tests.lifecycle.doubles import NOW, Crash, Fate, FatefulTables, ManualClock
from tests.llmops.conftest import call, fact


def answer(number: int = 0, *, version: str = "1", overall: int = 80, judge: str = "", **fields: Any) -> AttemptFact:
    at = fields.pop("at", NOW + timedelta(seconds=number))
    score = Score(overall, {"answered": overall}, pending=(judge,) if judge else ())
    run = f"00000000-0000-7000-8000-{number:012d}"
    return fact(run, agent="helper", version=version, at=at, score=score, **fields)


def history_of(tables: Tables, days: int = 0) -> Evaluations:
    return Evaluations(tables, ManualClock(NOW + timedelta(days=days)))


async def waiting_in(history: Evaluations, free_at: datetime = NOW) -> list[PendingEvaluation]:
    return list((await history.waiting(10, free_at)).get(("default", "helper"), []))


@pytest.mark.parametrize("closed", [False, True])
async def test_evaluations_are_listed_newest_first_and_paged(closed: bool) -> None:
    """Also those of days that are closed."""
    tables = MemoryTables()
    for number in range(5):
        await Facts(tables).record(answer(number, version=str(number % 2), at=NOW - timedelta(days=4 - number)))
    await Facts(tables).record(fact("unscored", agent="helper"))
    days = OPEN_DAYS + 3 if closed else 0
    await FactAggregation(tables).run(NOW + timedelta(days=days))
    history = history_of(tables, days)
    first, after = await history.list("default", "helper", 2)
    rest, end = await history.list("default", "helper", 9, after=after)
    of_version, _ = await history.list("default", "helper", 9, version="1")

    assert [int(one.run_id[-1]) for one in (*first, *rest)] == [4, 3, 2, 1, 0]
    assert (end, cursor(after or "")) == (None, after)
    assert [int(one.run_id[-1]) for one in of_version] == [3, 1]
    assert await history.list("other", "helper", 9) == ([], None)


@pytest.mark.parametrize("closed", [False, True])
async def test_sums_are_by_version_day_and_part(closed: bool) -> None:
    """Folded or not, and when their days are closed."""
    tables = MemoryTables()
    for number in range(120):
        await Facts(tables).record(answer(number, version="a/1" if number < 50 else "2"))
    await Facts(tables).record(answer(999, at=NOW + timedelta(days=1), version="2"))
    if closed:
        await FactAggregation(tables).run(NOW + timedelta(days=9))
    history = history_of(tables, 9 if closed else 1)
    sums = await history.sums("default", "helper")

    assert sorted((one.version, str(one.day), one.parts["overall"].count) for one in sums) == [
        ("2", str(NOW.date()), 70),
        ("2", str((NOW + timedelta(days=1)).date()), 1),
        ("a/1", str(NOW.date()), 50),
    ]
    assert by_version(sums)["2"]["answered"] == ScoreDistribution(71, 71 * 80, 71 * 6400)
    assert await history.sums("default", "helper", "2") == [one for one in sums if one.version == "2"]


async def test_a_judge_is_heard_once_and_changes_the_sums() -> None:
    tables = MemoryTables()
    history = history_of(tables)
    await Facts(tables).record(answer(judge="judge"))
    (waiting,) = await waiting_in(history)

    judged = await history.judged(waiting, [Part("judge", 20, "Wrong.")], {}, NOW)
    again = await history.judged(waiting, [Part("judge", 100)], {}, NOW)

    assert judged is not None
    assert judged.score == Score(50, {"answered": 80, "judge": 20}, {"judge": "Wrong."})
    assert again == judged
    await history.settle(waiting)
    await history.settle(waiting)
    assert await waiting_in(history) == []
    for _ in range(2):
        assert by_version(await history.sums("default", "helper"))["1"] == {
            "overall": ScoreDistribution.of(50),
            "answered": ScoreDistribution.of(80),
            "judge": ScoreDistribution.of(20),
        }
        await FactAggregation(tables).run(NOW)


async def test_a_judgement_is_claimed_by_one_and_free_again_when_the_claim_is_over() -> None:
    tables = MemoryTables()
    history = history_of(tables)
    await Facts(tables).record(answer(judge="judge"))
    (waiting,) = await waiting_in(history)
    until = NOW + timedelta(minutes=15)

    claimed = await history.claim(waiting, until)
    assert claimed is not None
    assert await history.claim(waiting, until) is None  # the ETag is an old one: somebody else has it
    assert await waiting_in(history) == []
    assert [one.tries for one in await waiting_in(history, until)] == [1]
    noted = await history.note(claimed, [call(7)])
    with pytest.raises(Unavailable):
        await history.note(claimed, [])
    await history.release(noted)
    assert [(one.tries, [each.number for each in one.calls]) for one in await waiting_in(history)] == [(1, [7])]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("strike", range(1, 15))
async def test_a_crash_anywhere_counts_every_score_once(strike: int, after: bool) -> None:
    """Dies before or after each effect; then the same is done again, and the sums are as if nothing had happened."""
    tables = MemoryTables()
    fate = Fate(strike, after=after)

    async def work(tables: Tables) -> None:
        history = history_of(tables)
        for number in range(3):
            await Facts(tables).record(answer(number, judge="judge"))
        await FactAggregation(tables).run(NOW)
        for waiting in await waiting_in(history):
            await history.judged(waiting, [Part("judge", 20)], {}, NOW)
            await history.settle(waiting)
        await FactAggregation(tables).run(NOW)

    try:
        await work(FatefulTables(tables, fate))
    except Crash:
        await work(tables)

    sums = by_version(await history_of(tables).sums("default", "helper"))["1"]
    assert sums["answered"] == ScoreDistribution(3, 240, 3 * 6400)
    assert sums["judge"] == ScoreDistribution(3, 60, 1200)
    assert sums["overall"] == ScoreDistribution(3, 150, 7500)


async def test_two_judges_at_once_both_count() -> None:
    """Each changes the score that the other has left."""
    tables = MemoryTables()
    history = history_of(tables)
    score = Score(80, {"answered": 80}, pending=("judge", "foundry"))
    await Facts(tables).record(fact("00000000-0000-7000-8000-000000000001", agent="helper", score=score))
    waiting = await waiting_in(history)
    await asyncio.gather(*(history.judged(one, [Part(one.judge, 20)], {}, NOW) for one in waiting))
    (one,), _ = await history.list("default", "helper", 9)

    assert one.score == Score(40, {"answered": 80, "judge": 20, "foundry": 20})
    assert by_version(await history.sums("default", "helper"))["1"]["overall"] == ScoreDistribution.of(40)
