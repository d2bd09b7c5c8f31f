"""Worker processes: runs per second with one and with two, of functions that keep a core busy.

Each function loops for a fixed number of steps (about 10 ms of CPU), once by HTTP and once by a message of a session
queue, through the real host, the real SDK and the Service Bus emulator. On two cores two workers cannot reach a factor
of 2: the host itself (HTTP, AMQP, dispatch), the emulator and this program share the cores with them.

`python -m benchmarks.workers` prints only this.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from pathlib import Path

import aiohttp
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from benchmarks.measure import Result
from devhost.services import ServiceBus, start_host, start_service_bus

_REQUESTS = 400
_MESSAGES = 200
_AT_ONCE = 16
_TOPOLOGY = {
    "UserConfig": {
        "Namespaces": [{"Name": "bench", "Queues": [{"Name": "work", "Properties": {"RequiresSession": True}}]}]
    }
}
_HOST = {
    "version": "2.0",
    "extensions": {"serviceBus": {"maxConcurrentSessions": 16, "sessionIdleTimeout": "00:00:01"}},
}
_APP = """
import os
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


def spin():
    total = 0
    for step in range(150_000):
        total += step * step
    return total


@app.route(route="work")
async def asked(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(str(spin()))


@app.service_bus_queue_trigger(arg_name="message", queue_name="work", connection="Bus", is_sessions_enabled=True)
async def sent(message: func.ServiceBusMessage) -> None:
    spin()
    with open(os.environ["DONE"], "a") as done:
        done.write(".")
"""


async def measure_workers() -> list[Result]:
    """Return requests and messages per second with two workers, compared with one."""
    with tempfile.TemporaryDirectory() as directory:
        base = Path(directory)
        (base / "function_app.py").write_text(_APP)
        (base / "host.json").write_text(json.dumps(_HOST))
        with start_service_bus(_TOPOLOGY, base / "bus") as bus:
            one, two = [await _rates(base, bus, count) for count in (1, 2)]
    return [
        Result(f"{what}, 2 workers", f"{more:.0f}/s", f"1 worker {fewer:.0f}/s", f"{more / fewer:.2f}×")
        for what, fewer, more in zip(("busy requests", "busy messages"), one, two, strict=True)
    ]


async def _rates(base: Path, bus: ServiceBus, workers: int) -> tuple[float, float]:
    done = base / f"done{workers}"
    done.touch()
    env = {"Bus": bus.connection_string, "DONE": str(done)}
    with start_host(base, env, state_dir=base / f"state{workers}", options=("--workers", str(workers))) as host:
        await _ask(host.url, _AT_ONCE * 2)  # done once per process
        started = time.perf_counter()
        await _ask(host.url, _REQUESTS)
        asked_s = time.perf_counter() - started
        sent_s = await _send(bus, done)
    return _REQUESTS / asked_s, _MESSAGES / sent_s


async def _ask(url: str, count: int) -> None:
    limit = asyncio.Semaphore(_AT_ONCE)
    async with aiohttp.ClientSession() as http:

        async def ask() -> None:
            async with limit, http.get(f"{url}/api/work") as answer:
                answer.raise_for_status()

        await asyncio.gather(*(ask() for _ in range(count)))


async def _send(bus: ServiceBus, done: Path) -> float:
    """Send messages to several sessions, and return the seconds until all are processed."""
    async with (
        ServiceBusClient.from_connection_string(bus.connection_string) as client,
        client.get_queue_sender("work") as sender,
    ):
        messages = [ServiceBusMessage("x", session_id=f"s{number % _AT_ONCE}") for number in range(_MESSAGES)]
        started = time.perf_counter()
        await sender.send_messages(messages[:_AT_ONCE])
        await sender.send_messages(messages[_AT_ONCE:])
        while os.stat(done).st_size < _MESSAGES:  # noqa: ASYNC110, PTH116 - written by another process
            await asyncio.sleep(0.02)
        return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    for result in asyncio.run(measure_workers()):
        print(result.what, result.figure, result.beside, result.ratio)


if __name__ == "__main__":
    main()
