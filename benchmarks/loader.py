"""The loader: hit rates of eviction policies, the cost of a hit, and what preloading saves a starting worker.

python -m benchmarks.loader
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.measure import Result
from bootstrap.services import Services
from kernel.settings import Settings
from lifecycle.loader.agent_files import AgentConfiguration, LoaderFiles
from lifecycle.loader.eviction_policies import POLICIES
from lifecycle.loader.simulation import clairvoyant, replay, static
from lifecycle.loader.usage_statistics import ActivityBook, Use
from lifecycle.specs.spec import AgentSpec
from tests.fakes.openai_server import FakeOpenAI
from tests.lifecycle.loader.requests import daily, scanned, shifting, zipf
from tests.lifecycle.loader.test_scale import among

ROOT = Path(__file__).parent.parent
PLACES = 50

_FIRST = """
import asyncio, sys, time
from bootstrap.services import Services
from kernel.settings import Settings
from lifecycle.specs.spec import AgentSpec

async def main(provider, preload):
    services = Services.in_memory(Settings.from_environment({}))
    signals = services.agents.local_signals()
    declared = AgentSpec(provider=provider, model="gpt-5-mini")
    await services.agents.administration.declare("default", "a", declared, signals)
    await services.agents.administration.prewarm("default", "a", signals)
    assert "agent_framework" not in sys.modules
    await services.agents.rankings.request([("default", "a")])
    if preload:
        services.agents.preloader.wake()
        await services.agents.preloader.finished()
    began = time.perf_counter()
    await services.agents.resolver.resolve("default", "a", signals)
    print(time.perf_counter() - began)
    await services.aclose()

asyncio.run(main(sys.argv[1], sys.argv[2] == "preload"))
"""

_ANSWER = """
import asyncio, sys, time
from bootstrap.services import Services
from kernel.ids import new_id
from kernel.settings import Settings
from lifecycle.conversations.run_request import RunRequest
from lifecycle.specs.spec import AgentSpec

async def main(url, how):
    services = Services.in_memory(Settings.of({"OPENAI_BASE_URL": url}))
    signals = services.agents.local_signals()
    declared = AgentSpec(provider="openai", model="gpt-5-mini")
    await services.agents.administration.declare("default", "a", declared, signals)
    await services.agents.administration.prewarm("default", "a", signals)
    await services.agents.rankings.request([("default", "a")])
    if how == "opened":
        await services.agents.resolver.preload("default", "a")
    elif how == "preloaded":
        services.agents.preloader.wake()
        await services.agents.preloader.finished()
    queued, took = [], []

    async def send(submission):
        queued.append(submission)

    for _ in range(3):
        began = time.perf_counter(), time.process_time()
        await services.runs.submission.submit("default", "a", RunRequest(query="How?"), new_id(), signals, send)
        run = await services.runs.worker.process(queued.pop(), signals)
        assert run.answer
        took += [time.perf_counter() - began[0], time.process_time() - began[1]]
    print(*took)
    await services.aclose()

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""

_LIBRARY = """
import asyncio, gc, sys, time, tracemalloc
from lifecycle import LazyAgentLoader

async def open_agent(configuration):
    return configuration.agent_id

async def main(directory):
    tracemalloc.start()
    began = time.perf_counter()
    loader = LazyAgentLoader(50, 1_000_000, directory, open_agent=open_agent)
    await loader.get_agent("a0")
    took = time.perf_counter() - began
    for number in range(1000):
        await loader.get_agent(f"a{number}")
    await loader.get_cache_metrics()
    gc.collect()
    print(took, tracemalloc.get_traced_memory()[0])
    await loader.close()

asyncio.run(main(sys.argv[1]))
"""


def hit_rates(count: int = 200_000) -> Iterator[Result]:
    """Yield the hit rate of each policy with 50 places for 1,000 agents, compared with the optimum."""
    kinds = {
        "Zipf 0.7": zipf(0.7, count),
        "Zipf 1.0": zipf(1.0, count),
        "Zipf 1.3": zipf(1.3, count),
        "Zipf 1.0 with scans": scanned(count),
        "Zipf 1.0, shifting": shifting(count),
        "two populations, daily": daily(count),
    }
    for name, keys in kinds.items():
        rates = {policy: replay(keys, policy, PLACES).hit_rate or 0.0 for policy in POLICIES}
        best, fixed = clairvoyant(keys, PLACES).hit_rate or 0.0, static(keys, PLACES).hit_rate or 0.0
        found = ", ".join(f"{policy} {rate:.1%}" for policy, rate in rates.items())
        beside = f"static optimum {fixed:.1%}, clairvoyant {best:.1%}"
        yield Result(f"hit rate, {name}", found, beside, f"sieve {rates['sieve'] - fixed:+.1%}")


def cold_workers(lives: int = 200, requests: int = 100) -> Result:
    """Return the hit rate of workers that live for a hundred requests, cold and preloaded by earlier uses."""
    keys = zipf(1.0, lives * requests * 2)
    past, coming = keys[: lives * requests], keys[lives * requests :]
    book = ActivityBook()
    book.add_all(Use(float(at), ("default", str(key)), answered=True) for at, key in enumerate(past))
    learned = [int(one.key[1]) for one in book.ranked(float(len(past)))][: int(PLACES * 0.8)]
    fixed = {key for key, _ in Counter(coming).most_common(PLACES)}
    rates: list[float] = []
    for held in ([], list(reversed(learned))):
        hits = sum(
            replay(coming[begin : begin + requests], "sieve", PLACES, held=held).hits
            for begin in range(0, len(coming), requests)
        )
        rates.append(hits / len(coming))
    best = sum(key in fixed for key in coming) / len(coming)
    return Result(
        f"hit rate of workers that live for {requests} requests",
        f"{rates[1]:.1%} preloaded with what was learnt",
        f"cold {rates[0]:.1%}, at most {best:.1%}",
        f"{rates[1] - rates[0]:+.1%}",
    )


def first_agents(times: int = 3) -> list[Result]:
    """Return how long a new worker's first run waits for its agent, cold and preloaded."""
    results: list[Result] = []
    for provider in ("offline", "openai"):
        took = {
            how: min(float(_python(_FIRST, provider, how)) for _ in range(times)) * 1000 for how in ("cold", "preload")
        }
        results.append(
            Result(
                f"a worker's first run waits for its agent ({provider})",
                f"{took['preload']:.2f} ms preloaded",
                f"cold {took['cold']:.0f} ms",
                f"{took['preload'] / took['cold']:.4f}×",
            )
        )
    return results


async def first_answers(times: int = 3) -> list[Result]:
    """Return the time and CPU of a new worker's first answer: cold, with its agent opened, and preloaded.

    The model is a server in this program that answers at once; a real one adds its own time, and that of a TLS
    handshake and a token, which preloading also removes from the first answer.
    """
    took: dict[str, list[tuple[float, ...]]] = {}
    async with FakeOpenAI() as server:
        for _ in range(times):
            for how in ("cold", "opened", "preloaded"):
                found = await asyncio.to_thread(_python, _ANSWER, server.base_url, how)
                took.setdefault(how, []).append(tuple(float(one) * 1000 for one in found.split()))
    best = {how: [min(one) for one in zip(*every, strict=True)] for how, every in took.items()}
    cold, opened, warm = best["cold"], best["opened"], best["preloaded"]
    return [
        Result(
            f"a worker's first answer, {what}",
            f"{warm[at]:.0f} ms preloaded",
            f"cold {cold[at]:.0f} ms, agent opened only {opened[at]:.0f} ms, third answer {warm[at + 4]:.0f} ms",
            f"{warm[at] / cold[at]:.3f}×",
        )
        for at, what in enumerate(("in all", "CPU"))
    ]


async def hit(count: int = 100_000) -> Result:
    """Return the CPU time of a hit, with all counting, less that of an empty await."""
    services = Services.in_memory(Settings.of({"AGENT_CACHE_TRUST_S": 3600}))
    signals = services.agents.local_signals()
    await services.agents.administration.declare("default", "a", AgentSpec(model="gpt-5-mini"), signals)
    await services.agents.resolver.resolve("default", "a", signals)

    async def nothing(*_: object) -> None:
        return None

    async def timed(work: object) -> float:
        best = float("inf")
        for _ in range(7):
            began = time.process_time()
            for _ in range(count // 7):
                await work("default", "a", signals)  # pyright: ignore[reportCallIssue] - both are called alike
            best = min(best, (time.process_time() - began) / (count // 7))
        return best * 1e6

    whole, bare = await timed(services.agents.resolver.resolve), await timed(nothing)
    await services.aclose()
    return Result("a hit, counted", f"{whole - bare:.2f} µs", f"an await of nothing {bare:.2f} µs")


async def worker(few: int = 1_000, many: int = 100_000) -> list[Result]:
    """Return a worker's start time and memory with few and with many declared agents."""
    await among(few)  # done once per process
    small, large = [await among(few) for _ in range(2)], [await among(many) for _ in range(2)]
    starts = [min(one.start_cpu_s for one in each) * 1000 for each in (small, large)]
    held = [min(one.memory for one in each) / 1024 for each in (small, large)]
    return [
        Result(
            f"worker: learn, start and preload among {many:,} agents",
            f"{starts[1]:.1f} ms of CPU, {large[0].start_rows} rows",
            f"among {few:,} {starts[0]:.1f} ms, {small[0].start_rows} rows",
            f"{starts[1] / starts[0]:.2f}×",
        ),
        Result(
            f"worker: memory after 40 agents among {many:,}",
            f"{held[1]:.0f} KiB",
            f"among {few:,} {held[0]:.0f} KiB",
            f"{held[1] / held[0]:.3f}×",
        ),
    ]


def library(few: int = 1_000, many: int = 100_000) -> list[Result]:
    """Return the library's start and memory with few and with many configurations on disk."""
    took: list[float] = []
    held: list[float] = []
    for count in (few, many):
        with tempfile.TemporaryDirectory(prefix="agents-bench-") as directory:
            files = LoaderFiles(Path(directory))
            for number in range(count):
                files.save(AgentConfiguration(f"a{number}", system_prompt="You help."))
            found = [_python(_LIBRARY, directory).split() for _ in range(3)]
            took.append(min(float(first) for first, _ in found) * 1000)
            held.append(min(float(memory) for _, memory in found) / 2**20)
    return [
        Result(
            f"library: first agent of {many:,} on disk",
            f"{took[1]:.0f} ms",
            f"of {few:,} {took[0]:.0f} ms",
            f"{took[1] / took[0]:.2f}×",
        ),
        Result(
            f"library: memory after 1,000 agents of {many:,}",
            f"{held[1]:.2f} MiB",
            f"of {few:,} {held[0]:.2f} MiB",
            f"{held[1] / held[0]:.3f}×",
        ),
    ]


def learning(count: int = 100_000) -> Result:
    """Return the cost of learning one use."""
    keys = zipf(1.0, count)
    uses = [Use(float(at), ("default", str(key)), at // 4 % 100, answered=True) for at, key in enumerate(keys)]
    book = ActivityBook()
    began = time.process_time()
    book.add_all(uses)
    took = time.process_time() - began
    began = time.process_time()
    book.ranked(float(count))
    ranked = time.process_time() - began
    return Result(
        "learn a use", f"{took / count * 1e6:.1f} µs", f"rank {len(book.agents)} agents {ranked * 1000:.1f} ms"
    )


def measure_loader() -> Sequence[Result]:
    """Return all figures."""
    return list(_measured())


def _measured() -> Iterator[Result]:
    yield asyncio.run(hit())
    yield learning()
    yield from first_agents()
    yield from asyncio.run(first_answers())
    yield cold_workers()
    yield from hit_rates()
    yield from asyncio.run(worker())
    yield from library()


def _python(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, check=True, capture_output=True, text=True, timeout=300
    )
    return done.stdout


def main() -> None:
    """Measure and print."""
    for result in _measured():
        print(f"{result.what:52}  {result.figure:72}  {result.beside:46}  {result.ratio}", flush=True)


if __name__ == "__main__":
    main()
