"""Measuring time, and counting table requests."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from kernel.tables import Page, Row, Span, Tables, Write


@dataclass
class CountingTables:
    """Tables that count their requests; a commit is one request, whatever its size.

    Attributes:
        tables: The underlying tables.
        requests: Number of reads and of writes.
        rows: Number of rows of each commit.
        read: Number of rows read or looked up.
    """

    tables: Tables
    requests: Counter[str] = field(default_factory=Counter[str])
    rows: list[int] = field(default_factory=list[int])
    read: int = 0

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        """Count and pass on."""
        self.requests["read"] += 1
        self.read += 1
        return await self.tables.get(table, partition, key)

    async def query(self, table: str, span: Span, *, limit: int = 1000, token: str | None = None) -> Page:
        """Count and pass on."""
        self.requests["read"] += 1
        page = await self.tables.query(table, span, limit=limit, token=token)
        self.read += len(page.rows)
        return page

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        """Count and pass on."""
        self.requests["write"] += 1
        self.rows.append(len(writes))
        return await self.tables.commit(table, writes)

    async def aclose(self) -> None:
        """Pass on."""
        await self.tables.aclose()


async def median_ms(work: Callable[[], Awaitable[object]], times: int) -> float:
    """Return the median time of awaiting the work, in milliseconds."""
    took: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        await work()
        took.append((time.perf_counter() - started) * 1000)
    return statistics.median(took)


async def cpu_ms(work: Callable[[], Awaitable[object]], times: int, rounds: int = 5) -> float:
    """Return the CPU time of this process for the work, in milliseconds: the mean of the best round."""
    await work()
    means: list[float] = []
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(times):
            await work()
        means.append((time.process_time() - started) * 1000 / times)
    return min(means)  # the smallest; other load only adds


@dataclass(frozen=True, slots=True)
class Result:
    """A line of the table: what was measured, the figure, what it is compared with, and the ratio."""

    what: str
    figure: str
    beside: str = ""
    ratio: str = ""
