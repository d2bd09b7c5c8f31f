"""Whatever happens to facts, in whatever order: every sum that is read is the sum of the facts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.memory_tables import MemoryTables
from kernel.errors import Unavailable
from kernel.tables import Span, Tables, every
from llmops.evaluation.combined_score import Part, Score
from llmops.facts.attempt_fact import AttemptFact, Ending
from llmops.facts.fact_erasure import RunRedaction
from llmops.facts.fact_store import Facts, kept_of
from llmops.facts.performance_summary import PerformanceSummary, summary_of
from llmops.facts.scores import Evaluations
from llmops.facts.sum_reader import FactSums
from llmops.facts.summing import FactAggregation
from llmops.facts.sums import Parts, added, changes, costs_of
from llmops.performance.monitor import total
from llmops.reports.daily import DailyCosts
from llmops.spend.costs import Group, add_up
from llmops.spend.usage import Spend
from tests.lifecycle.doubles import NOW, Crash, Fate, FatefulTables
from tests.llmops.conftest import call, fact

_FAILURES = (Crash, Unavailable)


@dataclass
class World:
    """Tables, the facts that were recorded, and a clock."""

    tables: MemoryTables = field(default_factory=MemoryTables)
    recorded: dict[tuple[int, int], AttemptFact] = field(default_factory=dict[tuple[int, int], AttemptFact])
    now: datetime = NOW
    redacting: set[int] = field(default_factory=set[int])

    def clock(self) -> datetime:
        return self.now

    def fact(self, number: int, attempt: int) -> AttemptFact:
        """Return the fact of an attempt, always the same; the higher the number, the longer ago it ended."""
        kinds = (Ending.SUCCEEDED, Ending.RETRIED, Ending.FAILED, Ending.PAUSED)
        ending = kinds[(number + attempt) % 4]
        score = Score(60 + number, {"answered": 60 + number}, {"answered": "why"}, ("judge",))
        return fact(
            f"00000000-0000-7000-8000-{number:012d}",
            attempt,
            agent=f"bot{number % 2}",
            user_id=f"user{number % 3}",
            version=str(number % 2),
            at=NOW - timedelta(days=number // 3, minutes=number),
            ending=ending,
            calls=tuple(call(n + 1, model=f"m{n % 2}", cost_micro_usd=n + number) for n in range(number % 4)),
            score=score if ending is Ending.SUCCEEDED else None,
        )

    async def step(self, what: str, one: int, two: int) -> None:
        """Do one thing; `two` says which of its writes dies, and whether before or after it took effect."""
        tables: Tables = self.tables
        if two:
            tables = FatefulTables(self.tables, Fate((two + 1) // 2, bool(two % 2), _FAILURES[one % 2]))
        with contextlib.suppress(*_FAILURES):
            await self._do(what, one, tables)

    async def _do(self, what: str, one: int, tables: Tables) -> None:
        match what:
            case "record":
                each = self.fact(one % 12, 1 + one // 12)
                try:
                    await Facts(tables).record(each)
                finally:
                    if any(fact.who.run_id == each.who.run_id for fact in await self.stored(each.attempt)):
                        self.recorded[one % 12, each.attempt] = each
            case "fold":
                await FactAggregation(tables).run(self.now)
            case "both":
                folds = [FactAggregation(each).run(self.now) for each in (tables, self.tables)]
                await asyncio.gather(*folds, return_exceptions=True)
            case "report":
                await DailyCosts(tables).aggregate(self.now)
            case "days pass":
                self.now += timedelta(days=1 + one % 4)
            case "judge":
                history = Evaluations(tables, self.clock)
                for waits in [each for found in (await history.waiting(9, self.now)).values() for each in found]:
                    await history.judged(waits, [Part("judge", 20 + one, "Wrong.")], {}, self.now)
                    await history.settle(waits)
            case _:
                self.redacting.add(one % 12)
                await self._redact(one % 12, tables)

    async def _redact(self, number: int, tables: Tables) -> None:
        each = self.fact(number, 1)
        await RunRedaction(tables, DailyCosts(tables).rewrite).redact(
            "default", each.who.agent, each.who.run_id, each.timing.accepted_at, NOW
        )
        self.redacting.discard(number)

    async def stored(self, attempt: int | None = None) -> list[AttemptFact]:
        rows = every(self.tables, "facts", Span("0", partition_before=":"))
        facts = [kept_of(row).fact async for row in rows if row.key.startswith("fact!")]
        return [each for each in facts if attempt in (None, each.attempt)]

    async def check(self) -> None:
        """Check that what is read is what the facts add up to."""
        stored, figures = await self.stored(), FactSums(self.tables)
        assert len(stored) == len(self.recorded)
        first, last = NOW.date() - timedelta(days=4), NOW.date()
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        costs = add_up([item for day in days for item in (await figures.costs(day, "default")).items()])
        assert _some(costs) == _some(add_up(item for each in stored for item in costs_of(each).items()))
        hours = total(await figures.hours("default", None, first, last))
        # An agent's figures take the score that its answer was given with.
        assert hours == sum(map(summary_of, self.recorded.values()), PerformanceSummary())

    async def check_settled(self) -> None:
        """Check that what closed days keep for readers is that, too, once all was added and redacted that is late."""
        for number in sorted(self.redacting):
            await self._redact(number, self.tables)
        for _ in range(2):
            self.now += timedelta(days=1)
            await FactAggregation(self.tables).run(self.now)
            await DailyCosts(self.tables).aggregate(self.now)
        stored = await self.stored()
        today = self.now.date()
        by_day = await DailyCosts(self.tables).sums("default", NOW.date() - timedelta(days=9), today, today)
        assert _some(add_up(item for sums in by_day.values() for item in sums.items())) == _some(
            add_up(item for each in stored for item in costs_of(each).items())
        )
        for agent in ("bot0", "bot1"):
            history = Evaluations(self.tables, self.clock)
            scored = [each for each in stored if each.score and each.who.agent == agent]
            listed, _ = await history.list("default", agent, 100)
            assert sorted(one.run_id for one in listed) == sorted(each.who.run_id for each in scored)
            expected: dict[tuple[str, date], Parts] = {}
            for each in scored:
                key = each.who.version, each.timing.ended_at.date()
                expected[key] = added(expected.get(key, {}), changes(None, each.score))
            found = {(one.version, one.day): one.parts for one in await history.sums("default", agent)}
            assert found == expected


def _some(sums: dict[Group, Spend]) -> dict[Group, Spend]:
    return {group: spend for group, spend in sums.items() if spend != Spend()}


steps = st.lists(
    st.tuples(
        st.sampled_from(["record", "record", "record", "fold", "both", "report", "days pass", "judge", "forget"]),
        st.integers(0, 23),
        st.one_of(st.just(0), st.integers(1, 12)),
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(steps=steps)
def test_in_any_order_the_sums_are_the_facts(steps: Sequence[tuple[str, int, int]]) -> None:
    """Recording, again, late and dying; folding side by side; days closing; judges; users forgotten."""

    async def go() -> None:
        world = World()
        for number, (what, one, two) in enumerate(steps, 1):
            await world.step(what, one, two)
            if number % 4 == 0:
                await world.check()
        await world.check()
        await world.check_settled()

    asyncio.run(go())
