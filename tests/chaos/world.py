"""The stack of a chaos run: two workers, proxies that lose answers, and everything that can be killed or frozen."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from tests.connections import connection, listening
from tests.e2e.support import Stack

SETTINGS = {
    "FUNCTIONS_WORKER_PROCESS_COUNT": "2",
    "BUDGET_TRUST_S": "1",
    "BUDGET_WAIT_S": "1",
    "PRUNE_SCHEDULE": "*/3 * * * * *",
    "DEAD_LETTER_SCHEDULE": "*/3 * * * * *",
    "BUDGET_SCHEDULE": "*/3 * * * * *",
    "SESSION_EXPIRY_SCHEDULE": "*/5 * * * * *",
    "REPORT_SCHEDULE": "*/5 * * * * *",
}
FREEZE_S = 6
"""How long a process stands still: longer than its leases and its locks on messages last."""


class Timeline:
    """What happened when, for whoever has to understand a failure."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        """Write down what happens now."""
        self.lines.append(f"{time.monotonic() - self._start:7.2f} s  {text}")


class LossyProxy:
    """Passes TCP connections on and, while it is told to, loses answers: the request took effect, nobody learns it."""

    def __init__(self, name: str, port_of: Callable[[], int], rng: random.Random, timeline: Timeline) -> None:
        self._name = name
        self._port_of = port_of
        self._rng = rng
        self._timeline = timeline
        self.share = 0.0
        self.lost = 0

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Listen on a free port, and yield it."""
        async with listening(self._serve, limit=2**20) as port:
            yield port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            async with connection(self._port_of(), limit=2**20) as (answers, requests):
                asked = asyncio.Event()
                pumps = [
                    asyncio.create_task(self._pump(reader, requests, asked)),
                    asyncio.create_task(self._pump_answers(answers, writer, asked)),
                ]
                try:
                    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for pump in pumps:
                        pump.cancel()
                    await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: asyncio.Event) -> None:
        while data := await reader.read(2**16):
            asked.set()
            writer.write(data)
            await writer.drain()

    async def _pump_answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: asyncio.Event
    ) -> None:
        while data := await reader.read(2**16):
            if asked.is_set() and self._rng.random() < self.share:
                self.lost += 1
                self._timeline.note(f"an answer of {self._name} is lost: {data[:40]!r}")
                return
            asked.clear()
            writer.write(data)
            await writer.drain()


class ChaosStack(Stack):
    """The stack, with tables behind a proxy."""

    def __init__(self, directory: Path, timeline: Timeline, rng: random.Random) -> None:
        super().__init__(directory, **SETTINGS)
        self._timeline = timeline
        self._rng = rng
        self.tables_port: int | None = None

    def environment(self) -> dict[str, str]:
        """Return every setting of the app; its tables are at the proxy as soon as there is one."""
        settings = super().environment()
        if self.tables_port is not None:
            old, new = f":{self.azurite.table_port}/", f":{self.tables_port}/"
            settings["TablesConnection"] = settings["TablesConnection"].replace(old, new)
        return settings

    async def kill_host(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Kill the host with its workers, and start it again."""
        super().kill_host()
        await asyncio.to_thread(self.start_host)

    async def kill_worker(self) -> None:
        """Kill a worker; the host starts another."""
        if workers := self._workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._rng.choice(workers), signal.SIGKILL)

    async def kill_broker(self) -> None:
        """Kill the broker, and start it again on what it has kept."""
        self.bus.child.kill()
        await asyncio.to_thread(self.start_bus)

    async def freeze_worker(self) -> None:
        """Let a worker stand still for longer than its leases last."""
        if workers := self._workers():
            pid = self._rng.choice(workers)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                await asyncio.sleep(FREEZE_S)
                os.kill(pid, signal.SIGCONT)

    async def freeze_host(self) -> None:
        """Let the host and its workers stand still for longer than their leases last."""
        os.killpg(self.host.child.pid, signal.SIGSTOP)
        await asyncio.sleep(FREEZE_S)
        os.killpg(self.host.child.pid, signal.SIGCONT)

    def _workers(self) -> list[int]:
        found: list[int] = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(stat.read_text().rpartition(")")[2].split()[1]) == self.host.child.pid:
                    found.append(int(stat.parent.name))
        return sorted(found)
