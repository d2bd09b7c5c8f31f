"""Figures by version and over time, service levels, and what the figures say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from adapters.memory_tables import MemoryTables
from kernel.errors import InvalidInput
from lifecycle.evaluation.version_comparison import scores_of
from llmops.evaluation.score_distribution import ScoreDistribution
from llmops.facts.attempt_fact import AttemptFact, Ending
from llmops.facts.fact_store import Facts as FactStore
from llmops.facts.performance_summary import PerformanceSummary, summary_of
from llmops.facts.sum_reader import FactSums
from llmops.facts.sums import DaySum
from llmops.performance.insights import InsightInput, Insights, insights_of
from llmops.performance.monitor import PerformanceReader, check_days, performance_of
from llmops.performance.sla import SlaPolicy, SlaTarget, attainment
from llmops.reports.daily import DailyCosts
from llmops.spend.usage import Spend
from tests.lifecycle.doubles import NOW
from tests.llmops.performance.makers import SPEND, failure, outcome

DAY = NOW.date()
TARGET = SlaTarget(2000, 0.9)


async def performance(
    outcomes: list[AttemptFact], days: int = 1, before: PerformanceSummary | None = None, **users: int
) -> InsightInput:
    tables = MemoryTables()
    for each in outcomes:
        await FactStore(tables).record(each)
    first = DAY - timedelta(days=days - 1)
    cells = await FactSums(tables).hours("default", "bot", first, DAY)
    spent = {user: Spend(calls=1, cost_micro_usd=cost) for user, cost in users.items()}
    return InsightInput(performance_of("bot", cells, first, DAY, TARGET), before or PerformanceSummary(), spent)


def runs(version: str, count: int = 25, **fields: Any) -> list[AttemptFact]:
    start = NOW - timedelta(hours=6 - int(version))
    return [outcome(f"v{version}-{n}", version=version, at=start, **fields) for n in range(count)]


async def codes(outcomes: list[AttemptFact], before: PerformanceSummary | None = None, **users: int) -> list[str]:
    return [insight.code for insight in insights_of(await performance(outcomes, before=before, **users))]


async def test_by_version_and_by_the_hour() -> None:
    """In all, each version, each hour with runs."""
    found = (await performance(runs("1") + runs("2", total_ms=4000))).performance

    assert found.summary.runs == 50
    assert [(each.version, each.summary.runs) for each in found.versions] == [("1", 25), ("2", 25)]
    assert [(point.start.hour, point.summary.runs) for point in found.trend] == [(3, 25), (4, 25)]
    assert found.sla.in_time == 0.5
    assert found.sla.kept is False


async def test_of_versions_first_seen_in_the_same_hour_the_ninth_comes_before_the_tenth() -> None:
    """Both are older than the days that are looked at: what is said since a version is of the later one."""
    nine, ten = (
        [outcome(f"v{version}-{n}", version=version, total_ms=ms) for n in range(25)]
        for version, ms in (("9", 1000), ("10", 4000))
    )
    found = await performance(nine + ten)

    assert [each.version for each in found.performance.versions] == ["9", "10"]
    assert [one.code for one in insights_of(found)] == ["slower_since_version"]


def test_of_versions_used_on_the_same_day_the_tenth_comes_first() -> None:
    """A version is compared with the latest other one."""
    scores = {"overall": ScoreDistribution.of(80)}
    sums = [DaySum(version, DAY, scores) for version in ("10", "9", "11")]

    assert [one.version for one in scores_of(sums, "11")] == ["11", "10", "9"]


async def test_over_many_days_by_the_day() -> None:
    """A week of hours would be too much to look at."""
    found = (await performance([*runs("1"), outcome("old", at=NOW - timedelta(days=6))], days=7)).performance

    assert [(point.start.hour, point.summary.runs) for point in found.trend] == [(0, 1), (0, 25)]


@pytest.mark.parametrize(
    ("outcomes", "kept"),
    [
        ([], None),
        ([outcome("a")], True),
        ([outcome("a", total_ms=2500)], False),
        ([outcome("a"), failure("b")], False),
        ([failure("b")], False),
        ([*(outcome(str(n)) for n in range(19)), failure("b")], True),
        ([*(outcome(str(n)) for n in range(19)), outcome("b", total_ms=60_000)], True),
        ([outcome("a", ending=Ending.CANCELLED)], None),
    ],
)
def test_service_levels(outcomes: list[AttemptFact], kept: bool | None) -> None:
    """Availability and time; a cancelled run says nothing."""
    assert attainment(sum(map(summary_of, outcomes), PerformanceSummary()), TARGET).kept is kept


def test_an_agent_s_own_target() -> None:
    """What its policy leaves out is the app's."""
    assert TARGET.but(None) == TARGET
    assert TARGET.but(SlaPolicy(latency_ms=5)) == SlaTarget(5, 0.9)
    assert TARGET.but(SlaPolicy(availability=0.5)) == SlaTarget(2000, 0.5)


async def test_no_insight_without_data() -> None:
    """Nothing at all, or too few runs for any rule."""
    assert await codes([]) == []
    assert await codes([*runs("1", 19), *runs("2", 19, total_ms=99_000), failure("x")], ann=99, bob=1) == ["one_user"]
    assert await codes(runs("1", 19), ann=99, bob=1) == []
    assert await codes(runs("1") + runs("2")) == []


async def test_slower_since_a_version() -> None:
    """It names the version, and says whether the model's calls explain it."""
    model = await performance(runs("1") + runs("2", total_ms=2100, model_ms=1600))
    other = await performance(runs("1") + runs("2", total_ms=2100))
    waiting = await performance(runs("1") + runs("2", total_ms=2100, queue_ms=1100))
    throttled = [
        outcome(
            f"r{n}", version="2", ending=Ending.RETRIED, code="provider_throttled", quality=None, spend=SPEND - SPEND
        )
        for n in range(10)
    ]
    retried = await performance(runs("1") + runs("2", total_ms=2100) + throttled)
    (found,), (elsewhere,), (waits,), (retries,) = map(insights_of, (model, other, waiting, retried))

    assert found.code == elsewhere.code == "slower_since_version"
    assert found.cause == "p95 latency is 2.1 times as long since version 2: 2.1 s, 1.0 s before."
    assert found.recommendation.startswith("Its model calls take longer")
    assert elsewhere.recommendation.startswith("Its model calls do not explain it")
    assert waits.recommendation.startswith("Runs wait longer before they are begun")
    assert retries.recommendation == (
        "More attempts are retried, most for provider_throttled. "
        "Raise the deployment's quota, or spread the agent over another deployment."
    )


async def test_what_else_the_figures_say() -> None:
    """Each rule on figures that are just enough for it."""
    dear = SPEND + Spend(cost_micro_usd=600)
    retried = [outcome(f"r{n}", ending=Ending.RETRIED, code="provider_throttled", quality=None) for n in range(10)]
    cached = PerformanceSummary(spend=Spend(input_tokens=20_000, cached_tokens=10_000))
    uncached = SPEND + Spend(input_tokens=900, cached_tokens=-20)
    queued = {"queue_ms": 5000, "total_ms": 6000}
    waiting = [outcome(f"q{n}", **queued) for n in range(25)]
    unpriced = runs("1", spend=None, cost_micro_usd=None)

    assert await codes(runs("1") + runs("2", spend=dear)) == ["dearer_since_version"]
    assert await codes(runs("1") + runs("2", quality=69)) == ["worse_since_version"]
    assert await codes(runs("1") + retried) == ["retries_cost"]
    assert await codes(runs("1") + [failure(f"f{n}") for n in range(2)]) == ["failing"]
    assert await codes(runs("1", spend=uncached), cached) == ["cache_fell"]
    assert await codes(waiting) == ["queued"]
    assert await codes(unpriced) == ["unpriced"]
    assert await codes(runs("1"), ann=80, bob=20) == ["one_user"]
    assert await codes(runs("1"), ann=59, bob=20, eve=21) == []
    assert await codes(runs("1"), ann=80) == []


async def test_failures_with_one_cause_name_it() -> None:
    """And what to do about it; the worst insight comes first."""
    throttled = [failure(f"f{n}", "provider_throttled") for n in range(20)]
    first, *rest = insights_of(await performance(runs("1") + throttled))

    assert first.cause == "44% of the runs fail; 100% of the failures are provider_throttled."
    assert first.recommendation == "Raise the deployment's quota, or spread the agent over another deployment."
    assert [insight.code for insight in rest] == ["retries_cost"]
    assert rest[0].cause.startswith("44% of the spend is retries and failed runs: $0.020000.")


async def test_what_the_rules_look_at_is_read_from_facts(tables: MemoryTables) -> None:
    """The days asked for, as many before them, and the agent's users."""
    for each in (
        outcome("a"),
        outcome("b", at=NOW - timedelta(days=2)),
        outcome("c", at=NOW - timedelta(days=4)),
        outcome("d", user_id="bob", agent="other"),
        outcome("e", user_id="eve"),
    ):
        await FactStore(tables).record(each)
    monitor = PerformanceReader(FactSums(tables))
    first = DAY - timedelta(days=1)
    facts = await Insights(monitor, DailyCosts(tables), lambda: NOW).facts("default", "bot", first, DAY, TARGET)

    assert (facts.performance.summary.runs, facts.before.runs) == (2, 1)
    assert sorted(facts.users) == ["ann", "eve"]
    assert [name for name, _ in await monitor.agents("default", first, DAY)] == ["bot", "other"]


@pytest.mark.parametrize(("back", "code"), [(-1, "invalid_range"), (92, "invalid_range"), (91, None)])
def test_ranges(back: int, code: str | None) -> None:
    """In order, and at most 92 days."""
    if code is None:
        check_days(DAY - timedelta(days=back), DAY)
        return
    with pytest.raises(InvalidInput) as error:
        check_days(DAY - timedelta(days=back), DAY)
    assert error.value.code == code
