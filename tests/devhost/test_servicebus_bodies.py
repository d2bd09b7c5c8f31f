"""Odd messages: whatever a producer sends, the listener goes on, and what cannot be read ends as a dead letter."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageHeader, AmqpMessageProperties

from devhost.services import RunningHost, start_host, start_service_bus

APP = Path(__file__).parent / "apps/bus"
pytestmark = pytest.mark.asyncio(loop_scope="module")

BODIES = {
    "map": {"value_body": {b"key": {"nested": [1, 2]}, "n": "map"}},
    "text value": {"value_body": "text"},
    "number": {"value_body": 7},
    "sequence": {"sequence_body": [[1, "two"], [{"three": 3}]]},
}


class Bus:
    """The emulator with a host on its queues, and a client of the test's own."""

    def __init__(self, client: ServiceBusClient, host: RunningHost, base: Path) -> None:
        self.client, self.host, self.base = client, host, base

    def notes(self, **wanted: Any) -> list[dict[str, Any]]:
        log = self.base / "log"
        notes = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [note for note in notes if all(note[key] == value for key, value in wanted.items())]

    async def handled(self, count: int = 1, **wanted: Any) -> list[dict[str, Any]]:
        async with asyncio.timeout(60):
            while len(found := self.notes(**wanted)) < count:  # noqa: ASYNC110 - watches another process
                await asyncio.sleep(0.02)
        return found

    async def send(self, queue: str, message: Any) -> None:
        async with self.client.get_queue_sender(queue) as sender:
            await sender.send_messages(message)

    async def dead(self, queue: str) -> Any:
        """Wait for one dead letter, and take it off."""
        async with self.client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
            (message,) = await receiver.receive_messages(max_wait_time=60)
            await receiver.complete_message(message)
            return message

    def host_log(self) -> str:
        return (self.base / "state/host.log").read_text()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, RunningHost, Path]]:
    base = tmp_path_factory.mktemp("bodies")
    # Locks far longer than the test: a message that stayed locked would never become a dead letter.
    queues = [
        {"Name": name, "Properties": {"LockDuration": "PT5M", "MaxDeliveryCount": 3, "RequiresSession": sessions}}
        for name, sessions in (("sessions", True), ("plain", False))
    ]
    with start_service_bus(
        {"UserConfig": {"Namespaces": [{"Name": "ns", "Queues": queues}]}}, base / "bus"
    ) as emulator:
        env = {"Bus": emulator.connection_string, "SESSION_QUEUE": "sessions", "SAMPLE_LOG": str(base / "log")}
        with start_host(APP, env, state_dir=base / "state") as host:
            yield emulator.connection_string, host, base


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bus(running: tuple[str, RunningHost, Path]) -> AsyncIterator[Bus]:
    connection, host, base = running
    async with ServiceBusClient.from_connection_string(connection) as client:
        yield Bus(client, host, base)


@pytest.mark.parametrize("queue", ["plain", "sessions"])
@pytest.mark.parametrize("kind", BODIES)
async def test_a_body_the_real_host_cannot_read_becomes_a_dead_letter(bus: Bus, queue: str, kind: str) -> None:
    """Value and sequence sections fail as in .NET: redelivered, then dead; what follows in the session is served."""
    group = f"odd-{kind}"
    properties = AmqpMessageProperties(group_id=group) if queue == "sessions" else None
    await bus.send(queue, AmqpAnnotatedMessage(properties=properties, **BODIES[kind]))
    session = group if queue == "sessions" else None
    await bus.send(queue, ServiceBusMessage(json.dumps({"n": f"after {kind}"}), session_id=session))

    dead = await bus.dead(queue)

    await bus.handled(queue=queue, n=f"after {kind}")
    assert (dead.session_id, dead.body_type.value) == (session, "sequence" if kind == "sequence" else "value")
    assert dead.delivery_count == 3
    log = bus.host_log()
    assert f"its body is an AMQP {dead.body_type.value} section, which the Functions host cannot read" in log
    assert "is not reachable" not in log
    assert "Traceback" not in log


async def test_a_body_in_several_data_sections_is_one(bus: Bus) -> None:
    """Data sections are handed over joined."""
    await bus.send("plain", AmqpAnnotatedMessage(data_body=[b'{"n": ', b'"joined"}']))

    assert await bus.handled(n="joined")


async def test_odd_application_properties_arrive(bus: Bus) -> None:
    """Bytes for names, decimals, UUIDs, times and infinities become what JSON can hold."""
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    odd = {
        b"bytes": b"text",
        "decimal": Decimal("1.5"),
        "uuid": uuid.UUID(int=7),
        "moment": moment,
        "nan": float("nan"),
        "infinite": float("-inf"),
        "huge": "x" * 50_000,
        "none": None,
        "true": True,
    }
    sendable = {name: value for name, value in odd.items() if name != "decimal"}
    message = AmqpAnnotatedMessage(data_body=[b'{"n": "odd"}'], application_properties=sendable)
    await bus.send("plain", message)

    (seen,) = await bus.handled(n="odd")

    properties = seen["properties"]
    assert (properties["uuid"], properties["true"], properties["none"]) == (str(uuid.UUID(int=7)), True, None)
    assert (properties["nan"], properties["infinite"]) == ("NaN", "-Infinity")
    assert (len(properties["huge"]), properties["bytes"]) == (50_000, "text")


async def test_headers_may_be_absent_or_huge(bus: Bus) -> None:
    """No message id, no content type, and the largest numbers a header takes stop nothing."""
    bare = AmqpAnnotatedMessage(data_body=[b'{"n": "bare"}'])
    huge = AmqpAnnotatedMessage(
        data_body=[b'{"n": "huge"}'],
        header=AmqpMessageHeader(time_to_live=2**32 - 1, priority=255, durable=True, delivery_count=2**31),
        properties=AmqpMessageProperties(
            message_id="m" * 128,
            content_type="c" * 5000,
            correlation_id="c" * 5000,
            subject="s" * 5000,
            absolute_expiry_time=253402300799000,
            creation_time=0,
        ),
    )
    await bus.send("plain", bare)
    await bus.send("plain", huge)

    (seen,) = await bus.handled(n="huge")

    assert await bus.handled(n="bare")
    assert (seen["message_id"], len(seen["subject"])) == ("m" * 128, 5000)
    assert timedelta(0) < datetime.now(UTC).replace(tzinfo=None) - datetime.fromisoformat(seen["enqueued"])
