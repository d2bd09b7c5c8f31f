"""A run's cost compared with an earlier commit's, on the same machine: `python -m benchmarks.compare --against REV`.

`--peer` adds Microsoft's `AgentFunctionApp`, on the same host and in an environment of its own (`benchmarks.peer`).

The commit is checked out into a temporary directory; both hosts run at once, each with its own storage and broker, and
are measured alternately in short rounds, so that other load on the machine affects both. The figures are medians of the
rounds. CPU is that of the host process, so that a busy machine changes it little.

Two measurements take long and are made only on request: `--many` (memory after 10,000 runs beside 1,000) and
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
from collections.abc import Awaitable, Callable, Iterator, Mapping
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
_STARTS = 3
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True, slots=True)
class Round:
    """The figures of one round.

    Attributes:
        cpu_ms: CPU time of the host per run, in milliseconds.
        rate: Runs per second.
        p95_ms: 95th percentile of the callers' waits, in milliseconds.
    """

    cpu_ms: float
    rate: float
    p95_ms: float


@dataclass(slots=True)
class Side:
    """One of the compared hosts.

    Attributes:
        name: Its commit.
        host: Its process.
        http: HTTP client for it.
        ask: Runs a query in a session, or in a new one for None; returns the session's id.
        sessions: One session for each caller.
        rounds: The measured rounds, by number of runs in flight.
        first_s: Time in which the fresh host declared an agent and answered its first run, in seconds. The storage
            account was new: its tables had to be created, which the deployment does otherwise.
        again_s: The same of a fresh host whose storage account has its tables, median of three.
    """

    name: str
    host: RunningHost
    http: aiohttp.ClientSession
    ask: Callable[[aiohttp.ClientSession, str | None], Awaitable[str]]
    sessions: dict[int, str] = field(default_factory=dict[int, str])
    rounds: dict[int, list[Round]] = field(default_factory=dict[int, list[Round]])
    first_s: float = 0.0
    again_s: float = 0.0

    def cpu_s(self) -> float:
        """Return the CPU time of the host's process until now, in seconds."""
        fields = Path(f"/proc/{self.host.child.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND

    def memory_mib(self) -> float:
        """Return the memory of the host's process (resident set), in MiB."""
        return int(Path(f"/proc/{self.host.child.pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE_MIB

    async def round(self, in_flight: int, runs: int) -> Round:
        """Make so many runs, by callers that each wait for an answer before they ask again."""
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
    """Check a commit out beside this tree; the directory is removed at the end."""
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--detach", "--quiet", str(directory), revision], check=True)
    try:
        yield directory
    finally:
        subprocess.run([*git, "remove", "--force", str(directory)], check=True)


async def _asked(http: aiohttp.ClientSession, session: str | None) -> str:
    return (await ask(http, session))["session_id"]


async def started(name: str, root: Path, data: Path, parts: ExitStack) -> Side:
    """Start the app of a tree with the host of that tree, and declare an agent, with fields that old versions know."""
    azurite = parts.enter_context(start_azurite(data / "azurite"))
    bus = parts.enter_context(start_service_bus(TOPOLOGY, data / "bus"))
    settings = {
        "AzureWebJobsStorage": azurite.connection_string,
        "TablesConnection": azurite.connection_string,
        "ServiceBusConnection": bus.connection_string,
        "PYTHONPATH": str(root),
        **_bytecode(root),
    }
    took: list[float] = []
    for _ in range(_STARTS):
        with _running(root, settings, data) as host:
            took.append(await _first_answer(host.url))
    host = parts.enter_context(_running(root, settings, data))
    http = aiohttp.ClientSession(host.url, connector=aiohttp.TCPConnector(limit=0))
    took.append(await _first_answer(host.url))
    return Side(name, host, http, _asked, first_s=took[0], again_s=statistics.median(took[1:]))


def _running(root: Path, settings: Mapping[str, str], data: Path) -> RunningHost:
    return start_host(root, settings, state_dir=data / "host", timeout_s=180)


async def _first_answer(url: str) -> float:
    """Declare an agent and ask it; return the seconds that it took."""
    async with aiohttp.ClientSession(url) as http:
        began = time.perf_counter()
        async with http.put("/api/agents/bench", json=SPEC.model_dump(mode="json", exclude_defaults=True)) as declared:
            declared.raise_for_status()
        await ask(http, None)
        return time.perf_counter() - began


def _bytecode(root: Path) -> dict[str, str]:
    """Compile a tree if its deployment does, and return the settings under which an instance has what is deployed.

    The libraries' bytecode is there in both cases: pip writes it.
    """
    settings = {"PYTHONDONTWRITEBYTECODE": "1"}
    if "compileall" in (root / "azure.yaml").read_text(encoding="utf-8"):
        packages = ("adapters", "bootstrap", "kernel", "lifecycle", "llmops", "triggers")
        subprocess.run([sys.executable, "-m", "compileall", "-q", *packages, "function_app.py"], cwd=root, check=True)
    return settings


async def started_peer(directory: Path, parts: ExitStack) -> Side:
    """Start Microsoft's app on this tree's host."""
    python, app = peer.environment(directory / "environment"), peer.written(directory / "app")
    host = parts.enter_context(
        start_host(app, {"PYTHONPATH": str(ROOT)}, state_dir=directory / "host", python=python, timeout_s=180)
    )
    http = aiohttp.ClientSession(host.url, connector=aiohttp.TCPConnector(limit=0))
    began = time.perf_counter()
    await peer.ask(http, None)
    took = time.perf_counter() - began
    return Side("AgentFunctionApp", host, http, peer.ask, first_s=took, again_s=took)  # it has no tables


async def compare(sides: list[Side], rounds: int, runs: int) -> None:
    """Measure the sides alternately; what happens once per process or session is done first and not measured."""
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
    """Return the figures; ratios are the first side's to each of the others'."""
    ratios = [f"÷ {side.name}" for side in sides[1:]]
    shown = Table("Measured", *(side.name for side in sides), *ratios)
    shown.add_row("first answer of a fresh host and account, s", *_row([side.first_s for side in sides]))
    shown.add_row("first answer of a fresh host, s", *_row([side.again_s for side in sides]))
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
