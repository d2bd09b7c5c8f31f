"""Aggregating a day of facts: facts per second, rows read for each, and that memory does not grow with the day.

python -m benchmarks.aggregation --facts 1000000
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from adapters.azure_tables import AzureTables
from adapters.memory_tables import MemoryTables
from benchmarks.measure import CountingTables, Result
from devhost.services import start_azurite
from kernel.tables import Insert, Span, Tables, every
from llmops.evaluation.combined_score import Score
from llmops.facts.attempt_fact import AttemptFact, Attribution, Call, Ending, Timing
from llmops.facts.fact_store import SHARDS, TABLE, StoredFact, home_of, kept_of, kept_row, new_row, partition
from llmops.facts.sum_reader import FactSums
from llmops.facts.summing import FactAggregation
from llmops.facts.sums import costs_of
from llmops.spend.costs import Group
from llmops.spend.usage import Spend, Usage

DAY = date(2026, 11, 20)
END = datetime(DAY.year, DAY.month, DAY.day, 23, 59, 59, tzinfo=UTC)
AGENTS, MODELS, USERS = 20, 3, 10
"""600 cost groups, by which a report is broken down."""


def facts(count: int) -> Iterator[AttemptFact]:
    """Yield the facts of a synthetic day, in order of time: answered and scored, after two model calls."""
    chance = random.Random(1)
    start = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    for number in range(count):
        at = start + timedelta(seconds=86_399 * number / count)
        model = f"model-{chance.randrange(MODELS)}"
        calls: list[Call] = []
        for call in (1, 2):
            usage = Usage(input_tokens=chance.randrange(50, 8000), output_tokens=chance.randrange(1, 2000))
            cost = usage.input_tokens + 4 * usage.output_tokens
            calls.append(Call(call, at, "offline", model, usage, cost, "synthetic", chance.randrange(200, 20_000)))
        quality = chance.randrange(101)
        yield AttemptFact(
            Attribution(
                "default",
                f"agent-{chance.randrange(AGENTS)}",
                f"session-{number // 4}",
                f"00000000-0000-7000-8000-{number:012x}",
                f"user-{chance.randrange(USERS)}",
                "1",
            ),
            1,
            Timing(at, at, at, at),
            Ending.SUCCEEDED,
            tuple(calls),
            score=Score(quality, {"answered": quality}),
        )


async def fill(tables: Tables, count: int) -> None:
    """Write the day's facts as they are recorded, but with more of them per transaction."""
    waiting: dict[str, list[Insert]] = {partition(DAY, number): [] for number in range(SHARDS)}
    for fact in facts(count):
        home = home_of(fact)
        waiting[home] += [Insert(kept_row(home, StoredFact(fact))), Insert(new_row(home, fact))]
        if len(waiting[home]) == 100:
            await tables.commit(TABLE, waiting[home])
            waiting[home] = []
    for writes in waiting.values():
        if writes:
            await tables.commit(TABLE, writes)


async def aggregate(tables: Tables, count: int, where: str) -> Sequence[Result]:
    """Return how fast the day is aggregated, compared with a plain loop over the same rows that sums costs only."""
    await fill(tables, count)
    plain_s, plain = await _plain_loop(tables)
    counting = CountingTables(tables)
    started = time.perf_counter()
    folded = await FactAggregation(counting).run(END)
    took = time.perf_counter() - started
    read, counting.read = counting.read, 0
    again = await FactAggregation(counting).run(END)
    sums = await FactSums(tables).costs(DAY, new=False)
    if (folded, again, sums) != (count, 0, plain):
        msg = "the aggregation is wrong"
        raise RuntimeError(msg)
    return [
        Result(
            f"add up {count:,} facts, {where}",
            f"{count / took:,.0f} facts/s, {read / count:.2f} entities read for each",
            f"plain loop over the rows, costs only, {count / plain_s:,.0f} facts/s",
            f"{took / plain_s:.2f}×",
        ),
        Result("… and again, with nothing new", f"{counting.read} entities read"),
    ]


async def _plain_loop(tables: Tables) -> tuple[float, dict[Group, Spend]]:
    """Return the time that reading every fact and summing its costs takes, in seconds, and the sums."""
    started = time.perf_counter()
    sums: dict[Group, Spend] = {}
    for number in range(SHARDS):
        async for row in every(tables, TABLE, Span.prefix(partition(DAY, number), "fact!")):
            for group, spend in costs_of(kept_of(row).fact).items():
                sums[group] = sums.get(group, Spend()) + spend
    return time.perf_counter() - started, sums


async def memory(few: int, many: int) -> Result:
    """Return the peak memory of aggregation, for few and for many facts."""
    peaks: list[float] = []
    for count in (few, many):
        tables = MemoryTables()
        await fill(tables, count)
        tracemalloc.start()
        await FactAggregation(tables).run(END)
        peaks.append(tracemalloc.get_traced_memory()[1] / 2**20)
        tracemalloc.stop()
    return Result(
        f"memory while adding up {many:,} facts",
        f"{peaks[1]:.1f} MiB at most",
        f"{few:,} facts {peaks[0]:.1f} MiB",
        f"{peaks[1] / peaks[0]:.2f}×",
    )


async def measure_aggregation(in_memory: int = 100_000, in_azurite: int = 5_000) -> Sequence[Result]:
    """Return the figures over memory and over Azurite."""
    results = list(await aggregate(MemoryTables(), in_memory, "in memory"))
    results.append(await memory(in_memory // 10, in_memory))
    with tempfile.TemporaryDirectory(prefix="agents-bench-") as data, start_azurite(Path(data)) as azurite:
        tables = AzureTables.from_connection_string(azurite.connection_string)
        results += await aggregate(tables, in_azurite, "Azurite")
        await tables.aclose()
    return results


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=1_000_000, help="of the day in memory")
    parser.add_argument("--azurite-facts", type=int, default=20_000, help="of the day in Azurite")
    arguments = parser.parse_args()
    for result in asyncio.run(measure_aggregation(arguments.facts, arguments.azurite_facts)):
        print(f"{result.what:60}  {result.figure:46}  {result.beside:48}  {result.ratio}")


if __name__ == "__main__":
    main()
