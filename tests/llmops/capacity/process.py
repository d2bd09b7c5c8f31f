"""A worker process of one pool: takes as much as it is told to, says so, and holds it until it is killed.

python -m tests.llmops.capacity.process FILE NAME SLOTS CALLS SINCE

Its clock begins at SINCE, in seconds since the epoch, so that a machine that is slow to start it changes nothing.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from adapters.file_tables import FileTables
from llmops.capacity.pool_store import PoolStore
from llmops.capacity.pools import Amounts, PoolFull
from llmops.capacity.slice_messages import Request
from llmops.capacity.worker_slice import Taken, WorkerSlice

TOKENS = 10
WAITS_S = 1


async def main(path: str, name: str, slots: int, calls: int, since: float) -> None:
    """Take part in the pool."""
    began = time.monotonic()

    def clock() -> datetime:
        return datetime.fromtimestamp(since + time.monotonic() - began, UTC)

    store = PoolStore(FileTables(Path(path)), clock, timedelta(seconds=60))

    async def exchange(pool: str, request: Request, now: float) -> object:
        return await store.exchange("default", pool, request, now)

    pool, _ = await store.get("default", "p")
    worker = WorkerSlice(pool, name, exchange, lambda: clock().timestamp())  # pyright: ignore[reportArgumentType]

    async def told(what: str, taking: Awaitable[Taken]) -> None:
        try:
            await taking
        except PoolFull:
            print(f"full {what}", flush=True)
        else:
            print(what, flush=True)

    key = clock().timestamp()
    wants = [told("run", worker.take("", Amounts(runs=1), key, WAITS_S)) for _ in range(slots)]
    wants += [told("call", worker.take("", Amounts(0, TOKENS, 1), key, WAITS_S)) for _ in range(calls)]
    await asyncio.gather(*wants)
    print("done", flush=True)
    await asyncio.sleep(600)


if __name__ == "__main__":
    file, who, *numbers = sys.argv[1:]
    asyncio.run(main(file, who, int(numbers[0]), int(numbers[1]), float(numbers[2])))
