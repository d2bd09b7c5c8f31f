"""What a run costs beyond its model call, and how many runs per second are possible."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from adapters.azure_tables import AzureTables
from benchmarks.measure import CountingTables, Result, median_ms
from bootstrap.services import Services
from devhost.services import Azurite, ServiceBus, start_azurite, start_host, start_service_bus
from kernel.ids import new_id
from kernel.settings import Settings
from kernel.tables import Insert, Row
from lifecycle.conversations.run_request import RunRequest, Submission
from lifecycle.specs.spec import AgentSpec

ROOT = Path(__file__).parent.parent
TOPOLOGY = {
    "UserConfig": {
        "Namespaces": [
            {
                "Name": "local",
                "Queues": [
                    {"Name": "agent-runs", "Properties": {"RequiresSession": True}},
                    {"Name": "agent-runs-priority", "Properties": {"RequiresSession": True}},
                    {"Name": "agent-runs-low", "Properties": {"RequiresSession": True}},
                    {"Name": "bare", "Properties": {"RequiresSession": True}},
                ],
            }
        ]
    }
}
SPEC = AgentSpec(model="gpt-5-mini")
_SEQUENTIAL = 100
_THROUGHPUT = 300


async def measure_runs() -> list[Result]:
    """Return the overhead of a run, its operations, and the throughput."""
    with tempfile.TemporaryDirectory(prefix="agents-bench-") as data, ExitStack() as parts:
        azurite = parts.enter_context(start_azurite(Path(data) / "azurite"))
        bus = parts.enter_context(start_service_bus(TOPOLOGY, Path(data) / "servicebus"))
        first, follow_up, commits = await _operations(azurite)
        hit_us, hit_reads = await _hit(azurite)
        bare_ms = await _bare(azurite, bus, follow_up["read"], commits)
        settings = {
            "AzureWebJobsStorage": azurite.connection_string,
            "TablesConnection": azurite.connection_string,
            "ServiceBusConnection": bus.connection_string,
        }
        host = parts.enter_context(start_host(ROOT, settings, state_dir=Path(data) / "host"))
        async with aiohttp.ClientSession(host.url, connector=aiohttp.TCPConnector(limit=0)) as http:
            await http.put("/api/agents/bench", json=SPEC.model_dump(mode="json"))
            run_ms = await _overhead(http)
            rates = {n: await _throughput(http, n) for n in (1, 8, 32)}
    reads, writes = follow_up["read"], follow_up["write"]
    return [
        Result("table requests of a run, new session", f"{first['read']} reads, {first['write']} writes"),
        Result("table requests of a run, going on", f"{reads} reads, {writes} writes"),
        Result("queue operations of a run", "1 send, 1 receive, 1 complete"),
        Result(
            "submit → recorded answer, 1 in flight",
            f"{run_ms:.1f} ms",
            f"the same {reads + writes} table and 3 queue operations, bare, one by one: {bare_ms:.1f} ms",
            f"{run_ms / bare_ms:.2f}×",
        ),
        *(
            Result(f"runs/s, {n} in flight", f"{rate:.0f}", "1 in flight", f"{rate / rates[1]:.1f}×")
            for n, rate in rates.items()
        ),
        Result("get-or-create, hit", f"{hit_us:.2f} µs, {hit_reads} table reads"),
    ]


async def _operations(azurite: Azurite) -> tuple[dict[str, int], dict[str, int], list[int]]:
    """Return the requests of a run that starts a session, of one in an existing one, and the rows of its commits."""
    tables = CountingTables(AzureTables.from_connection_string(azurite.connection_string))
    services = Services(tables, Settings())
    signals = services.agents.local_signals()
    await services.agents.administration.declare("ops", "bench", SPEC, signals)
    await services.agents.resolver.resolve("ops", "bench", signals)
    await services.agents.use_recorder.record("ops", "bench", signals)
    counted: list[dict[str, int]] = []
    session: str | None = None
    queued: list[Submission] = []

    async def send(submission: Submission) -> None:
        queued.append(submission)

    for _ in range(3):  # the first run includes what happens once per process
        tables.requests.clear()
        tables.rows.clear()
        request = RunRequest(query="How much?", session_id=session)
        await services.runs.submission.submit("ops", "bench", request, new_id(), signals, send)
        run = await services.runs.worker.process(queued.pop(), signals)
        assert run is not None
        session = run.session_id if counted else None
        counted.append(dict(tables.requests))
        await (
            services.conversations.publisher.flush()
        )  # the workspace's events follow a moment later; they are counted separately
    await services.aclose()
    return counted[1], counted[2], list(tables.rows)


async def _hit(azurite: Azurite) -> tuple[float, int]:
    tables = CountingTables(AzureTables.from_connection_string(azurite.connection_string))
    services = Services(tables, Settings())
    signals = services.agents.local_signals()
    await services.agents.administration.declare("hits", "bench", SPEC, signals)
    await services.agents.resolver.resolve("hits", "bench", signals)
    tables.requests.clear()
    times = 20_000
    started = time.perf_counter()
    for _ in range(times):
        await services.agents.resolver.resolve("hits", "bench", signals)
    took_us = (time.perf_counter() - started) / times * 1_000_000
    await services.aclose()
    return took_us, tables.requests["read"]


async def _bare(azurite: Azurite, bus: ServiceBus, reads: int, commits: Sequence[int]) -> float:
    """Return the time of a run's operations with the bare SDKs, one after the other, in milliseconds."""
    tables = AzureTables.from_connection_string(azurite.connection_string)
    await tables.commit("bare", [Insert(Row("p", "r", {"text": "x" * 1000}))])
    client = ServiceBusClient.from_connection_string(bus.connection_string)
    async with (
        client,
        client.get_queue_sender("bare") as sender,
        client.get_queue_receiver("bare", session_id="s") as receiver,
    ):

        async def operations() -> None:
            for rows in commits:
                await tables.commit("bare", [Insert(Row("p", new_id(), {"text": "x" * 500})) for _ in range(rows)])
            await sender.send_messages(ServiceBusMessage("x" * 300, session_id="s"))
            for message in await receiver.receive_messages(max_message_count=1, max_wait_time=5):
                await receiver.complete_message(message)
            for _ in range(reads):
                await tables.get("bare", "p", "r")

        await median_ms(operations, 5)
        took = await median_ms(operations, _SEQUENTIAL)
    await tables.aclose()
    return took


async def _overhead(http: aiohttp.ClientSession) -> float:
    """Return the median time from sending the request until the answer is stored, in milliseconds."""
    session = (await ask(http, None))["session_id"]
    took: list[float] = []
    for _ in range(_SEQUENTIAL):
        started = datetime.now(UTC)
        run = await ask(http, session)
        took.append((datetime.fromisoformat(run["finished_at"]) - started).total_seconds() * 1000)
    return statistics.median(took)


async def _throughput(http: aiohttp.ClientSession, in_flight: int) -> float:
    """Return runs per second with so many callers, each in its own session, waiting for each answer."""

    async def caller(runs: int) -> None:
        session: str | None = None
        for _ in range(runs):
            session = (await ask(http, session))["session_id"]

    await asyncio.gather(*(caller(1) for _ in range(in_flight)))
    each = max(3, _THROUGHPUT // in_flight)
    started = time.perf_counter()
    await asyncio.gather(*(caller(each) for _ in range(in_flight)))
    return each * in_flight / (time.perf_counter() - started)


async def ask(http: aiohttp.ClientSession, session: str | None) -> dict[str, Any]:
    """Submit a run, wait for its end, and return it."""
    body = {"query": "How much?", "session_id": session}
    async with http.post("/api/agents/bench/runs", json=body, headers={"Prefer": "wait=25"}) as response:
        run = await response.json()
    while run.get("state") in (
        "queued",
        "running",
    ):  # on a busy machine a run may take longer than one request may wait
        await asyncio.sleep(0.5)
        async with http.get(f"/api/runs/{run['id']}") as response:
            run = await response.json()
    if run.get("state") != "succeeded":
        msg = f"a run was not answered: {run}"
        raise RuntimeError(msg)
    return run
