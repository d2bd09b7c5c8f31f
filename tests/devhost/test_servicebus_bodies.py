"""Odd messages: whatever a producer sends, the listener goes on, and what cannot be read ends as a dead letter."""

import asyncio
import json
import subprocess
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

from devhost.servicebus_types import complete_decoder, decimal_of
from devhost.services import PROJECT, RunningHost, node, start_host, start_service_bus
from tests.waiting import QUIET_S

APP = Path(__file__).parent / "apps/bus"

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
        notes = [json.loads(line) for line in log.read_text().rpartition("\n")[0].splitlines()] if log.exists() else []
        return [note for note in notes if all(note[key] == value for key, value in wanted.items())]

    async def handled(self, count: int = 1, **wanted: Any) -> list[dict[str, Any]]:
        async with asyncio.timeout(QUIET_S):
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
@pytest.mark.asyncio(loop_scope="module")
async def test_a_body_the_real_host_cannot_read_becomes_a_dead_letter(bus: Bus, queue: str) -> None:
    """Value and sequence sections fail as in .NET: redelivered, then dead; what follows in the session is served."""
    for kind, body in BODIES.items():
        session = f"odd-{kind}" if queue == "sessions" else None
        properties = AmqpMessageProperties(message_id=kind, group_id=session)
        await bus.send(queue, AmqpAnnotatedMessage(properties=properties, **body))
        await bus.send(queue, ServiceBusMessage(json.dumps({"n": f"after {kind}"}), session_id=session))

    dead = {letter.message_id: letter for letter in [await bus.dead(queue) for _ in BODIES]}

    log = bus.host_log()
    for kind in BODIES:
        await bus.handled(queue=queue, n=f"after {kind}")
        letter, section = dead[kind], "sequence" if kind == "sequence" else "value"
        session = f"odd-{kind}" if queue == "sessions" else None
        assert (letter.session_id, letter.body_type.value, letter.delivery_count) == (session, section, 3)
        assert f"its body is an AMQP {section} section, which the Functions host cannot read" in log
    assert "is not reachable" not in log
    assert "Traceback" not in log


@pytest.mark.asyncio(loop_scope="module")
async def test_a_body_in_several_data_sections_is_one(bus: Bus) -> None:
    """Data sections are handed over joined."""
    await bus.send("plain", AmqpAnnotatedMessage(data_body=[b'{"n": ', b'"joined"}']))

    assert await bus.handled(n="joined")


@pytest.mark.asyncio(loop_scope="module")
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


@pytest.mark.asyncio(loop_scope="module")
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


SENDER = """
const rhea = require(process.argv[1]);
const connection = rhea.connect({ host: "127.0.0.1", port: Number(process.argv[2]), username: "x", reconnect: false });
const { types } = rhea;
connection.open_sender("plain");
connection.once("sendable", ({ sender }) => sender.send({
  application_properties: {
    char: types.wrap_char(0x1f600),
    list: types.wrap_list([1, "two"]),
    map: types.wrap_map({ nested: { deep: true } }),
  },
  body: rhea.message.data_section(Buffer.from('{"n": "typed"}')),
}));
connection.once("accepted", () => connection.close());
connection.on("disconnected", () => process.exit(1));
"""


@pytest.mark.asyncio(loop_scope="module")
async def test_types_that_python_does_not_send_arrive(bus: Bus, running: tuple[str, RunningHost, Path]) -> None:
    """Chars, lists and maps of another language's SDK reach the function, though Python's SDK knows no chars."""
    port = running[0].partition("127.0.0.1:")[2].partition(";")[0]
    await asyncio.to_thread(
        subprocess.run,
        [node(), "-e", SENDER, str(PROJECT / "node_modules/rhea"), port],
        check=True,
        capture_output=True,
    )

    (seen,) = await bus.handled(n="typed")

    assert seen["properties"] == {
        "char": "\N{GRINNING FACE}",
        "list": [1, "two"],
        "map": {"nested": {"deep": True}},
    }


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("32800096", "150"),
        ("b2800001", "-1"),
        ("6c38967f", "999.9999"),
        ("78000000", "Infinity"),
        ("f8000000", "-Infinity"),
        ("7c000000", "NaN"),
        ("31a000000000000f", "1.5"),
        ("6c1386f26fc0ffff", "9999.999999999999"),
    ],
)
def test_decimals_are_read_in_their_binary_encoding(data: str, expected: str) -> None:
    """Coefficient and exponent of both widths, in the short and the long form, and the special values."""
    width = {"exponent_bits": 8, "bias": 101} if len(data) == 8 else {"exponent_bits": 10, "bias": 398}

    assert str(decimal_of(bytes.fromhex(data), **width)) == expected


def test_the_sdks_decoder_reads_every_type() -> None:
    """The table that the missing types are added to has the known form; should it change, this says so first."""
    from azure.servicebus._pyamqp._decode import decode_payload  # noqa: PLC0415 - the private form that is relied on

    values = (b"\x73\x00\x01\xf6\x00", b"\x74\x32\x00\x00\x0f", b"\x84\xb1\xa0" + bytes(5) + b"\x0f")
    pairs = b"".join(b"\xa1\x01" + name + value for name, value in zip((b"c", b"s", b"l"), values, strict=True))

    assert complete_decoder()
    message = decode_payload(memoryview(b"\x00\x53\x74\xc1" + bytes([len(pairs) + 1, 6]) + pairs))
    assert message.application_properties == {b"c": "\N{GRINNING FACE}", b"s": Decimal("1.5"), b"l": Decimal("-1.5")}
