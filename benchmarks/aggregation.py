"""A day of the ledger, aggregated: how many lines a second, what is read for it, and that memory does not grow with it.

python -m benchmarks.aggregation --lines 1000000
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

from llmops.spend.rollup import Group, Rollup, group_of

from adapters.azure_tables import AzureTables
from adapters.memory_tables import MemoryTables
from benchmarks.measure import CountingTables, Result
from devhost.services import start_azurite
from kernel.tables import Insert, Row, Span, Tables, every
from llmops.spend.ledger import SHARDS, TABLE, Line, days, from_row, partition, shard, to_values
from llmops.spend.usage import Spend, Usage

DAY = date(2026, 11, 20)
AGENTS, MODELS, USERS = 20, 3, 10
"""600 groups: what a report is broken down by."""


def lines(count: int) -> Iterator[Line]:
    """Yield the lines of a synthetic day, in order of time."""
    chance = random.Random(1)
    start = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    for number in range(count):
        usage = Usage(input_tokens=chance.randrange(50, 8000), output_tokens=chance.randrange(1, 2000))
        yield Line(
            workspace="default",
            run_id=f"00000000-0000-7000-8000-{number // 2:012x}",
            attempt=1,
            call=number % 2 + 1,
            at=start + timedelta(seconds=86_400 * number / count),
            agent=f"agent-{chance.randrange(AGENTS)}",
            session_id=f"session-{number // 8}",
            user_id=f"user-{chance.randrange(USERS)}",
            provider="offline",
            model=f"model-{chance.randrange(MODELS)}",
            usage=usage,
            cost_micro_usd=usage.input_tokens + 4 * usage.output_tokens,
            rate="synthetic",
            latency_ms=chance.randrange(200, 20_000),
        )


async def fill(tables: Tables, count: int) -> None:
    """Write the day's lines as the ledger does, only more of them in each transaction."""
    waiting: dict[int, list[Insert]] = {number: [] for number in range(SHARDS)}
    for line in lines(count):
        number, values = shard(line.run_id), to_values(line)
        waiting[number] += [Insert(Row(line.home, f"{kind}!{line.key}", values)) for kind in ("line", "new")]
        if len(waiting[number]) == 100:
            await tables.commit(TABLE, waiting[number])
            waiting[number] = []
    for writes in waiting.values():
        if writes:
            await tables.commit(TABLE, writes)


async def aggregate(tables: Tables, count: int, where: str) -> Sequence[Result]:
    """Return how fast the day is aggregated, beside a plain loop over the same rows."""
    await fill(tables, count)
    plain_s, plain = await _plain_loop(tables, count)
    counting = CountingTables(tables)
    started = time.perf_counter()
    folded = await Rollup(counting).fold(DAY)
    took = time.perf_counter() - started
    read, counting.read = counting.read, 0
    again = await Rollup(counting).fold(DAY)
    sums = await Rollup(tables).sums(DAY)
    if (folded, again, sums) != (count, 0, plain):
        msg = "the aggregation is wrong"
        raise RuntimeError(msg)
    return [
        Result(
            f"aggregate {count:,} ledger lines, {where}",
            f"{count / took:,.0f} lines/s, {read:,} entities read",
            f"plain loop over the rows {count / plain_s:,.0f} lines/s",
            f"{took / plain_s:.2f}×",
        ),
        Result("… and again, with nothing new", f"{counting.read} entities read"),
    ]


async def _plain_loop(tables: Tables, count: int) -> tuple[float, dict[Group, Spend]]:
    """Return how long reading every line and adding it up takes, and the sums."""
    started = time.perf_counter()
    sums: dict[Group, Spend] = {}
    for day in days(DAY, DAY):
        for number in range(SHARDS):
            async for row in every(tables, TABLE, Span.prefix(partition(day, number), "line!")):
                line = from_row(row)
                group = group_of(line)
                sums[group] = sums.get(group, Spend()) + line.spend
    return time.perf_counter() - started, sums


async def memory(few: int, many: int) -> Result:
    """Return the most memory that aggregating takes at once, for few and for many lines."""
    peaks: list[float] = []
    for count in (few, many):
        tables = MemoryTables()
        await fill(tables, count)
        tracemalloc.start()
        await Rollup(tables).fold(DAY)
        peaks.append(tracemalloc.get_traced_memory()[1] / 2**20)
        tracemalloc.stop()
    return Result(
        f"memory while aggregating {many:,} lines",
        f"{peaks[1]:.1f} MiB at most",
        f"{few:,} lines {peaks[0]:.1f} MiB",
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
    parser.add_argument("--lines", type=int, default=1_000_000, help="of the day in memory")
    parser.add_argument("--azurite-lines", type=int, default=20_000, help="of the day in Azurite")
    arguments = parser.parse_args()
    for result in asyncio.run(measure_aggregation(arguments.lines, arguments.azurite_lines)):
        print(f"{result.what:60}  {result.figure:46}  {result.beside:48}  {result.ratio}")


if __name__ == "__main__":
    main()
