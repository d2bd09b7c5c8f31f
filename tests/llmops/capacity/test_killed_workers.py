"""Workers that are processes and are killed while they hold slices: nobody has what they held until it has ended."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from adapters.file_tables import FileTables
from llmops.capacity.pool_store import PoolStore
from llmops.capacity.pools import Limits, Pool
from tests.llmops.capacity.process import TOKENS

SLOTS, CALLS = 6, 8
_PATIENCE_S = 60


class Process:
    """A worker process, and what it has said."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child
        self.said: Counter[str] = Counter()

    async def done(self) -> Counter[str]:
        """Wait until it has taken, or was refused, all that it wants, and return what it has said."""
        assert self._child.stdout is not None
        async with asyncio.timeout(_PATIENCE_S):
            while (line := (await self._child.stdout.readline()).decode().strip()) != "done":
                assert line, "the worker has ended"
                self.said[line] += 1
        return self.said

    async def kill(self) -> None:
        """End it as the platform does an instance that it needs: at once."""
        if self._child.returncode is None:
            self._child.send_signal(signal.SIGKILL)
        await self._child.wait()


@asynccontextmanager
async def worker(path: Path, name: str, since: datetime) -> AsyncIterator[Process]:
    """Start a worker that wants two thirds of the pool, and kill it in the end."""
    wants = (str(SLOTS * 2 // 3), str(CALLS * 2 // 3), str(since.timestamp()))
    module = "tests.llmops.capacity.process"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, str(path), name, *wants, stdout=asyncio.subprocess.PIPE
    )
    process = Process(child)
    try:
        yield process
    finally:
        await process.kill()


async def test_what_killed_processes_held_is_nobodys_until_it_has_ended(tmp_path: Path) -> None:
    """Two want more than there is and get no more; killed, nobody gets theirs at once, and all of it a while later."""
    path, now = tmp_path / "pools.db", datetime.now(UTC)
    limits = Limits(concurrent_runs=SLOTS, tokens_per_minute=CALLS * TOKENS)
    tables = FileTables(path)
    store = PoolStore(tables, lambda: datetime.now(UTC), timedelta(seconds=60))
    await store.put("default", Pool("p", agents=("bot",), limits=limits), None)
    await tables.aclose()

    async with worker(path, "one", now) as one, worker(path, "two", now) as two:
        both = await one.done() + await two.done()
    async with worker(path, "early", now + timedelta(seconds=1)) as third:
        early = await third.done()
    async with worker(path, "late", now + timedelta(seconds=90)) as fourth:
        late = await fourth.done()

    assert (both["run"], both["call"]) == (SLOTS, CALLS)
    assert (early["run"], early["call"]) == (0, 0)
    assert (late["run"], late["call"]) == (SLOTS * 2 // 3, CALLS * 2 // 3)
