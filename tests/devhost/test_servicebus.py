"""The Service Bus trigger against the emulator, through the real SDK on both sides."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender

from devhost.services import RunningHost, ServiceBus, start_host, start_service_bus
from tests import waiting

APP = Path(__file__).parent / "apps/bus"


# The host and the test's client live as long as the module, in one event loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")


def _queue(name: str, **properties: Any) -> dict[str, Any]:
    return {"Name": name, "Properties": {"LockDuration": "PT2S", "MaxDeliveryCount": 2, **properties}}


TOPOLOGY = {
    "UserConfig": {
        "Namespaces": [{"Name": "ns", "Queues": [_queue("sessions", RequiresSession=True), _queue("plain")]}]
    }
}


@dataclass
class Bus:
    """The emulator with a host on its queues."""

    emulator: ServiceBus
    host: RunningHost
    log: Path
    base: Path
    client: ServiceBusClient = field(init=False)
    senders: dict[str, ServiceBusSender] = field(init=False)

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[Self]:
        """Connect the test's own client."""
        async with ServiceBusClient.from_connection_string(self.emulator.connection_string) as client:
            self.client = client
            async with client.get_queue_sender("sessions") as sessions, client.get_queue_sender("plain") as plain:
                self.senders = {"sessions": sessions, "plain": plain}
                yield self

    async def send(self, queue: str, *bodies: dict[str, Any], session: str | None = None, **options: Any) -> None:
        for body in bodies:
            message = ServiceBusMessage(json.dumps(body), session_id=session, **options)
            await self.senders[queue].send_messages(message)

    async def handled(self, count: int, **wanted: Any) -> list[dict[str, Any]]:
        """Wait until that many deliveries that are as wanted have been handled, and return them."""
        patience = waiting.Patience(f"{count} deliveries {wanted}")
        while len(found := self.notes(**wanted)) < count:  # noqa: ASYNC110 - watches another process
            await asyncio.sleep(patience.look(len(found)))
        return found

    async def empty(self, queue: str) -> bool:
        """Tell whether the queue has no message left."""
        async with self.client.get_queue_receiver(queue) as receiver:
            return await receiver.peek_messages() == []

    def notes(self, **wanted: Any) -> list[dict[str, Any]]:
        lines = self.log.read_text().rpartition("\n")[0].splitlines() if self.log.exists() else []
        notes = [json.loads(line) for line in lines]
        return [note for note in notes if all(note[key] == value for key, value in wanted.items())]

    def host_log(self) -> str:
        return (self.base / "state/host.log").read_text()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    base = tmp_path_factory.mktemp("bus")
    with start_service_bus(TOPOLOGY, base / "bus") as emulator:
        env = {"Bus": emulator.connection_string, "SESSION_QUEUE": "sessions", "SAMPLE_LOG": str(base / "log")}
        with start_host(APP, env, state_dir=base / "state") as host:
            yield Bus(emulator, host, base / "log", base)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bus(running: Bus) -> AsyncIterator[Bus]:
    # One client and sender for all tests: closing one takes the SDK a second.
    async with running.connected() as connected:
        yield connected


async def test_a_message_arrives_as_in_production(bus: Bus) -> None:
    """Ids, session, subject and properties are there; times are naive; what the host never sends is None."""
    await bus.send(
        "sessions",
        {"n": "first"},
        session="s",
        message_id="m1",
        subject="agent.run",
        application_properties={"a": 1, "b": "x"},
    )

    (seen,) = await bus.handled(1, n="first")

    assert (
        seen["session"],
        seen["message_id"],
        seen["subject"],
        seen["properties"],
    ) == ("s", "m1", "agent.run", {"a": 1, "b": "x"})
    assert (seen["delivery"], seen["state"]) == (1, None)
    assert "+" not in seen["enqueued"]
    assert len(seen["lock_token"]) == 36


async def test_handled_messages_are_gone(bus: Bus) -> None:
    """Success completes: nothing is delivered twice and nothing is left in the queue."""
    await bus.send("plain", *({"n": f"once{number}"} for number in range(20)))
    await asyncio.gather(*(bus.handled(1, n=f"once{number}") for number in range(20)))
    await waiting.eventually(lambda: bus.empty("plain"))

    assert len([note for note in bus.notes(queue="plain") if str(note["n"]).startswith("once")]) == 20


@pytest.mark.parametrize("queue", ["plain", "sessions"])
async def test_failed_messages_come_back_then_are_dead(bus: Bus, queue: str) -> None:
    """An exception abandons; after MaxDeliveryCount the broker moves the message to the dead-letter queue."""
    name = f"poison-{queue}"
    await bus.send(queue, {"n": name, "fail": True}, session="p" if queue == "sessions" else None)

    seen = await bus.handled(2, n=name)

    assert [note["delivery"] for note in seen] == [1, 2]
    async with bus.client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
        (dead,) = await receiver.receive_messages(max_wait_time=waiting.QUIET_S)
        assert name == json.loads(b"".join(dead.body))["n"]
        await receiver.complete_message(dead)
    assert len(bus.notes(n=name)) == 2


async def test_a_session_is_served_in_order_one_at_a_time(bus: Bus) -> None:
    """Messages of a session never overlap and keep their order; a failure is repeated before the next."""
    bodies = [{"n": number, "sleep_s": 0.02} for number in range(10)]
    await bus.send("sessions", *bodies, session="ordered")

    seen = await bus.handled(10, session="ordered")

    assert list(range(10)) == [note["n"] for note in seen]
    assert all(one["end"] <= two["begin"] for one, two in itertools.pairwise(seen))


async def test_sessions_run_side_by_side_up_to_the_limit(bus: Bus) -> None:
    """As many sessions as maxConcurrentSessions (4) run at once, not more, and none is forgotten."""
    for number in range(8):
        await bus.send("sessions", {"n": "wide", "sleep_s": 0.3}, session=f"wide{number}")

    seen = await bus.handled(8, n="wide")

    most = max(sum(other["begin"] <= note["begin"] < other["end"] for other in seen) for note in seen)
    assert most == 4


async def test_idle_sessions_give_way(bus: Bus) -> None:
    """More sessions than slots, one after the other: none waits for the idle timeout (an hour) of another."""
    for number in range(12):
        await bus.send("sessions", {"n": f"turn{number}"}, session=f"turn{number}")
        await bus.handled(1, n=f"turn{number}")


async def test_locks_are_renewed_while_a_function_runs(bus: Bus) -> None:
    """A function that outlasts its lock (2 s) keeps it: one delivery, and then the message is gone."""
    await bus.send("plain", {"n": "long", "sleep_s": 3})
    await bus.send("sessions", {"n": "long", "sleep_s": 3}, session="long")

    seen = await bus.handled(2, n="long")
    await waiting.eventually(lambda: bus.empty("plain"))

    assert [note["delivery"] for note in seen] == [1, 1]
    assert len(bus.notes(n="long")) == 2
    assert "could not be completed" not in bus.host_log()


async def test_admin_runs_a_queue_function(bus: Bus) -> None:
    """The input of an admin run is the message's body."""
    body = {"input": json.dumps({"n": "by hand"})}
    async with aiohttp.ClientSession() as http, http.post(bus.host.url + "/admin/functions/plain", json=body) as answer:
        assert answer.status == 202

    await bus.handled(1, n="by hand")


async def test_a_broker_that_comes_back_is_found(tmp_path: Path, running: Bus, eventually: Callable[..., Any]) -> None:
    """An outage is logged once, and messages flow again after it without a restart of the host."""
    with start_service_bus(TOPOLOGY, tmp_path / "bus") as first:
        env = {"Bus": first.connection_string, "SESSION_QUEUE": "sessions", "SAMPLE_LOG": str(tmp_path / "log")}
        with start_host(APP, env, state_dir=tmp_path / "state") as host:
            bus = Bus(first, host, tmp_path / "log", tmp_path)
            first.child.kill()
            eventually(lambda: bus.host_log().count("is not reachable") == 2)
            with start_service_bus(TOPOLOGY, tmp_path / "bus", first.port) as second:
                bus.emulator = second
                async with bus.connected():
                    await bus.send("sessions", {"n": "after"}, session="after")
                    await bus.handled(1, n="after")
                    eventually(lambda: bus.host_log().count("is reachable again") == 2)
                    assert bus.host_log().count("is not reachable") == 2
                    assert "Traceback" not in bus.host_log()
