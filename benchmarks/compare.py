"""A run's cost beside an earlier commit's, on one machine at one time: `python -m benchmarks.compare --against REV`.

`--peer` adds Microsoft's `AgentFunctionApp`, on the same host and in an environment of its own (`benchmarks.peer`).

The commit is checked out into a temporary directory; both hosts run at once, each over storage and a broker of its own,
and are asked in turns, in short rounds: what else the machine does falls on both. The figures are medians of the
rounds. CPU is the host process's own, so that a busy machine changes it little.

Two questions take their time and are asked only when told to: `--many` (memory after 10,000 runs beside 1,000) and
`--long` (a run in a session of 1,000 turns beside one of 10). Linux only: CPU and memory are read from /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table

from benchmarks import peer
from benchmarks.runs import ROOT, SPEC, TOPOLOGY, ask
from devhost.services import RunningHost, start_azurite, start_host, start_service_bus

IN_FLIGHT = (1, 8, 32)
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True, slots=True)
class Round:
    """What one short round came to.

    Attributes:
        cpu_ms: CPU of the host for each run, in milliseconds.
        rate: Runs a second.
        p95_ms: What 95 of 100 callers waited at most, in milliseconds.
    """

    cpu_ms: float
    rate: float
    p95_ms: float


@dataclass(slots=True)
class Side:
    """One of the hosts that are compared.

    Attributes:
        name: Which commit it is of.
        host: Its process.
        http: Asks it.
        ask: Has a run answered, in a session or, where that is None, in a new one; returns the session's id.
        sessions: The session of each caller; each goes on in its own.
        rounds: What was measured, by how many were in flight.
        first_s: How long the fresh host took to declare an agent and answer its first run, in seconds.
    """

    name: str
    host: RunningHost
    http: aiohttp.ClientSession
    ask: Callable[[aiohttp.ClientSession, str | None], Awaitable[str]]
    sessions: dict[int, str] = field(default_factory=dict[int, str])
    rounds: dict[int, list[Round]] = field(default_factory=dict[int, list[Round]])
    first_s: float = 0.0

    def cpu_s(self) -> float:
        """Return the CPU time of the host's process until now, in seconds."""
        fields = Path(f"/proc/{self.host.child.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND

    def memory_mib(self) -> float:
        """Return what the host's process holds in memory, in MiB."""
        return int(Path(f"/proc/{self.host.child.pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE_MIB

    async def round(self, in_flight: int, runs: int) -> Round:
        """Run so many, by callers that each wait for an answer and ask again."""
        took: list[float] = []
        left = iter(range(runs))

        async def caller(number: int) -> None:
            for _ in left:
                started = time.perf_counter()
                self.sessions[number] = await self.ask(self.http, self.sessions.get(number))
                took.append((time.perf_counter() - started) * 1000)

        started, cpu_s = time.perf_counter(), self.cpu_s()
        await asyncio.gather(*(caller(number) for number in range(in_flight)))
        wall_s = time.perf_counter() - started
        return Round((self.cpu_s() - cpu_s) * 1000 / runs, runs / wall_s, statistics.quantiles(took, n=20)[-1])

    def median(self, in_flight: int, figure: str) -> float:
        """Return the median of a figure over the rounds."""
        return statistics.median(getattr(each, figure) for each in self.rounds[in_flight])


@contextmanager
def checked_out(revision: str, directory: Path) -> Iterator[Path]:
    """Check a commit out beside this tree, for as long as it is needed."""
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--detach", "--quiet", str(directory), revision], check=True)
    try:
        yield directory
    finally:
        subprocess.run([*git, "remove", "--force", str(directory)], check=True)


async def _asked(http: aiohttp.ClientSession, session: str | None) -> str:
    return (await ask(http, session))["session_id"]


async def started(name: str, root: Path, data: Path, parts: ExitStack) -> Side:
    """Start the app of a tree with the host of that tree, and have its agent made; earlier ones know fewer fields."""
    azurite = parts.enter_context(start_azurite(data / "azurite"))
    bus = parts.enter_context(start_service_bus(TOPOLOGY, data / "bus"))
    settings = {
        "AzureWebJobsStorage": azurite.connection_string,
        "TablesConnection": azurite.connection_string,
        "ServiceBusConnection": bus.connection_string,
        "PYTHONPATH": str(root),
        **_bytecode(root, data / "bytecode"),
    }
    host = parts.enter_context(start_host(root, settings, state_dir=data / "host", timeout_s=180))
    http = aiohttp.ClientSession(host.url, connector=aiohttp.TCPConnector(limit=0))
    began = time.perf_counter()
    async with http.put("/api/agents/bench", json=SPEC.model_dump(mode="json", exclude_defaults=True)) as declared:
        declared.raise_for_status()
    await ask(http, None)
    return Side(name, host, http, _asked, first_s=time.perf_counter() - began)


def _bytecode(root: Path, directory: Path) -> dict[str, str]:
    """Compile a tree if its deployment does, and return the settings under which an instance has what is deployed."""
    settings = {"PYTHONPYCACHEPREFIX": str(directory), "PYTHONDONTWRITEBYTECODE": "1"}
    if "compileall" in (root / "azure.yaml").read_text(encoding="utf-8"):
        packages = ("adapters", "bootstrap", "kernel", "lifecycle", "llmops", "triggers")
        command = [sys.executable, "-m", "compileall", "-q", *packages, "function_app.py"]
        subprocess.run(command, cwd=root, env={**os.environ, **settings}, check=True)
    return settings


async def started_peer(directory: Path, parts: ExitStack) -> Side:
    """Start the app of Microsoft's on this tree's host."""
    python, app = peer.environment(directory / "environment"), peer.written(directory / "app")
    host = parts.enter_context(
        start_host(app, {"PYTHONPATH": str(ROOT)}, state_dir=directory / "host", python=python, timeout_s=180)
    )
    http = aiohttp.ClientSession(host.url, connector=aiohttp.TCPConnector(limit=0))
    began = time.perf_counter()
    await peer.ask(http, None)
    return Side("AgentFunctionApp", host, http, peer.ask, first_s=time.perf_counter() - began)


async def compare(sides: list[Side], rounds: int, runs: int) -> None:
    """Ask the sides in turns; what is made once per process or session comes first and does not count."""
    for side in sides:
        await side.round(max(IN_FLIGHT), 2 * max(IN_FLIGHT))
    for _ in range(rounds):
        for in_flight in IN_FLIGHT:
            for side in sides:
                side.rounds.setdefault(in_flight, []).append(await side.round(in_flight, runs))


async def memory(side: Side) -> tuple[float, float]:
    """Return the host's memory after 1,000 and after 10,000 runs, in MiB."""
    await side.round(8, 1_000)
    few = side.memory_mib()
    await side.round(8, 9_000)
    return few, side.memory_mib()


async def long_session(side: Side) -> tuple[float, float]:
    """Return the median time of a run in a session of 10 turns and in one of 1,000, in milliseconds."""
    side.sessions.pop(0, None)
    took: list[float] = []
    for turns in (10, 1_000):
        made = await side.ask(side.http, side.sessions.get(0))
        side.sessions[0] = made
        while int((await _session(side, made))["turns"]) < turns:
            await side.ask(side.http, made)
        times: list[float] = []
        for _ in range(20):
            started = time.perf_counter()
            await side.ask(side.http, made)
            times.append((time.perf_counter() - started) * 1000)
        took.append(statistics.median(times))
    return took[0], took[1]


async def _session(side: Side, session: str) -> dict[str, Any]:
    async with side.http.get(f"/api/sessions/{session}") as response:
        return await response.json()


def table(sides: list[Side]) -> Table:
    """Return the figures; the ratios are the first side's to each of the others'."""
    ratios = [f"÷ {side.name}" for side in sides[1:]]
    shown = Table("Measured", *(side.name for side in sides), *ratios)
    shown.add_row("first answer of a fresh host, s", *_row([side.first_s for side in sides]))
    for figure, what in (("cpu_ms", "CPU a run, ms"), ("rate", "runs/s"), ("p95_ms", "p95, ms")):
        for in_flight in IN_FLIGHT:
            figures = [side.median(in_flight, figure) for side in sides]
            shown.add_row(f"{what}, {in_flight} in flight", *_row(figures))
    return shown


def _row(figures: list[float]) -> list[str]:
    return [*(f"{figure:.1f}" for figure in figures), *(f"{figures[0] / other:.2f}×" for other in figures[1:])]


async def main(options: argparse.Namespace) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="agents-compare-") as directory, ExitStack() as parts:
        base = Path(directory)
        trees = {"here": ROOT}
        if options.against:
            trees[options.against] = parts.enter_context(checked_out(options.against, base / "before"))
        sides = [await started(name, root, base / f"data{n}", parts) for n, (name, root) in enumerate(trees.items())]
        if options.peer:
            sides.append(await started_peer(base / "peer", parts))
        try:
            await compare(sides, options.rounds, options.runs)
            shown = table(sides)
            if options.long:
                for side in sides:
                    shown.add_row(
                        f"a run after 1,000 and 10 turns, ms: {side.name}", *_row(list(await long_session(side))[::-1])
                    )
            if options.many:
                for side in sides:
                    shown.add_row(
                        f"MiB after 10,000 and 1,000 runs: {side.name}", *_row(list(await memory(side))[::-1])
                    )
        finally:
            for side in sides:
                await side.http.close()
        Console(width=140).print(shown)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--against", metavar="REV", help="the commit to compare with; without it only this tree is measured"
    )
    parser.add_argument("--peer", action="store_true", help="also compare with Microsoft's AgentFunctionApp")
    parser.add_argument(
        "--rounds", type=int, default=5, help="rounds of each side at 1, 8 and 32 in flight (default 5)"
    )
    parser.add_argument("--runs", type=int, default=64, help="runs of a round (default 64)")
    parser.add_argument("--long", action="store_true", help="also a session of 1,000 turns beside one of 10")
    parser.add_argument("--many", action="store_true", help="also memory after 10,000 runs beside 1,000")
    asyncio.run(main(parser.parse_args()))
