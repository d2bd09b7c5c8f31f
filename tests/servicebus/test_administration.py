"""Queues made, listed and deleted by Microsoft's administration clients, over plain HTTP on the emulator's port.

Only the .NET client speaks plain HTTP to an emulator by itself; Python and JavaScript are given a transport that does.
"""

import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.core.pipeline.transport import RequestsTransport
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import MessagingEntityNotFoundError, ServiceBusError
from azure.servicebus.management import ServiceBusAdministrationClient

from tests.servicebus.support import Bus, Emulator, eventually, one, receive
from tests.waiting import QUIET_S


class PlainHttp(RequestsTransport):
    """Sends requests without TLS."""

    def send(self, request: Any, **options: Any) -> Any:
        """Send a request that the client made for https."""
        request.url = request.url.replace("https://", "http://", 1)
        return super().send(request, **options)


@pytest.fixture
def running(start_emulator: Callable[..., Emulator]) -> Emulator:
    """Start an emulator with one queue of the topology file."""
    return start_emulator(declared={"RequiresSession": True, "MaxDeliveryCount": 4})


@pytest.fixture
def admin(running: Emulator) -> Iterator[ServiceBusAdministrationClient]:
    """Make an administration client."""
    with administration(running) as client:
        yield client


def administration(emulator: Emulator) -> ServiceBusAdministrationClient:
    """Make an administration client of an emulator."""
    return ServiceBusAdministrationClient.from_connection_string(
        emulator.connection_string, transport=PlainHttp(), retry_total=0
    )


def address(emulator: Emulator, path: str) -> str:
    """Return an address of the emulator."""
    return f"http://127.0.0.1:{emulator.ready['port']}/{path}"


def test_queues_are_listed_with_their_properties(admin: ServiceBusAdministrationClient) -> None:
    """The queues of the topology file are there, with what the file says of them."""
    (queue,) = admin.list_queues()

    assert queue.name == "declared"
    assert (queue.requires_session, queue.max_delivery_count) == (True, 4)
    assert (queue.lock_duration, queue.default_message_time_to_live) == (timedelta(minutes=1), timedelta(hours=1))
    assert list(admin.list_topics()) == []
    assert admin.get_namespace_properties().name == "sbemulatorns"


def test_created_queue_works_at_once(
    admin: ServiceBusAdministrationClient, running: Emulator, connect: Callable[[Emulator], Bus]
) -> None:
    """A queue is made with the properties that were asked for, and the service's defaults for the others."""
    created = admin.create_queue(
        "made/by-call",
        lock_duration=timedelta(seconds=30),
        max_delivery_count=2,
        requires_duplicate_detection=True,
        dead_lettering_on_message_expiration=True,
    )
    got = admin.get_queue("made/by-call")

    assert created.name == got.name == "made/by-call"
    assert (got.lock_duration, got.max_delivery_count) == (timedelta(seconds=30), 2)
    assert (got.requires_duplicate_detection, got.dead_lettering_on_message_expiration) == (True, True)
    assert got.requires_session is False
    assert isinstance(got.default_message_time_to_live, timedelta)
    assert got.default_message_time_to_live > timedelta(days=10_000_000)
    sender, receiver = connect(running).pair("made/by-call")
    for _ in range(2):
        sender.send_messages(ServiceBusMessage("x", message_id="same"))
    receiver.complete_message(one(receiver))
    assert receiver.peek_messages(1) == []


def test_counts_of_messages(
    admin: ServiceBusAdministrationClient, running: Emulator, connect: Callable[[Emulator], Bus]
) -> None:
    """Runtime properties count active, scheduled and dead-lettered messages."""
    admin.create_queue("counted")
    sender, receiver = connect(running).pair("counted")
    sender.send_messages([ServiceBusMessage(str(number)) for number in range(4)])
    sender.schedule_messages(ServiceBusMessage("later"), datetime.now(UTC) + timedelta(hours=1))
    receiver.dead_letter_message(one(receiver))

    counts = admin.get_queue_runtime_properties("counted")

    assert (counts.active_message_count, counts.scheduled_message_count, counts.dead_letter_message_count) == (3, 1, 1)
    assert (counts.total_message_count, counts.transfer_message_count) == (5, 0)
    assert counts.size_in_bytes
    assert [each.name for each in admin.list_queues_runtime_properties()] == ["counted", "declared"]


def test_created_queue_and_its_messages_survive_a_crash(
    admin: ServiceBusAdministrationClient, running: Emulator, connect: Callable[[Emulator], Bus]
) -> None:
    """Queues made by a call are there again after a restart, deleted ones are not; those of the file always are."""
    admin.create_queue("kept", requires_session=True)
    admin.create_queue("gone")
    bus = connect(running)
    bus.send("kept", ServiceBusMessage("x", session_id="s"))
    bus.send("gone", ServiceBusMessage("x"))
    bus.send("declared", ServiceBusMessage("x", session_id="s"))
    admin.delete_queue("gone")
    admin.delete_queue("declared")
    bus.close()
    for _ in range(2):
        running.kill()
        running.start()
        with administration(running) as again:
            assert [queue.name for queue in again.list_queues()] == ["declared", "kept"]
            assert again.get_queue_runtime_properties("declared").total_message_count == 0
    assert str(one(connect(running).next_session("kept"))) == "x"
    assert running.stderr == ""


def test_deleted_queue_ends_its_links(
    admin: ServiceBusAdministrationClient, running: Emulator, connect: Callable[[Emulator], Bus]
) -> None:
    """Who sends to or receives from a queue that is deleted is told so, and the emulator goes on after it."""
    admin.create_queue("short")
    bus = connect(running)
    sender, receiver = bus.pair("short")
    sender.send_messages([ServiceBusMessage("a"), ServiceBusMessage("b")])
    receive(receiver, 1)
    admin.delete_queue("short")

    with pytest.raises(ServiceBusError):
        sender.send_messages(ServiceBusMessage("c"))
    with pytest.raises(MessagingEntityNotFoundError):
        bus.receiver("short")
    admin.create_queue("short")
    assert admin.get_queue_runtime_properties("short").total_message_count == 0
    bus.close()
    running.kill()
    running.start()
    bus = connect(running)
    bus.send("short", ServiceBusMessage("d"))
    assert str(one(bus.receiver("short"))) == "d"
    assert running.stderr == ""


def test_refusals_are_those_of_the_service(admin: ServiceBusAdministrationClient) -> None:
    """What is missing, is there already or is not supported is answered with the service's status and a reason."""
    with pytest.raises(ResourceNotFoundError, match="could not be found"):
        admin.get_queue("missing")
    with pytest.raises(ResourceNotFoundError):
        admin.delete_queue("missing")
    with pytest.raises(ResourceExistsError, match="already exists"):
        admin.create_queue("DECLARED")
    with pytest.raises(HttpResponseError, match="Topics are not supported"):
        admin.create_topic("topic")
    with pytest.raises(HttpResponseError, match="LockDuration must be"):
        admin.create_queue("q", lock_duration=timedelta(minutes=6))
    with pytest.raises(HttpResponseError, match="forward"):
        admin.create_queue("q", forward_to="declared")
    with pytest.raises(HttpResponseError, match="cannot be changed"):
        admin.update_queue(admin.get_queue("declared"), max_delivery_count=3)
    assert [queue.name for queue in admin.list_queues()] == ["declared"]


def test_queues_can_be_looked_at_without_a_client(running: Emulator) -> None:
    """The port answers plain HTTP: a browser or curl shows the queues and their counts as JSON."""
    with urllib.request.urlopen(address(running, ""), timeout=QUIET_S) as answer:
        (queue,) = json.load(answer)["queues"]

    assert (queue["name"], queue["messages"]["total"]) == ("declared", 0)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("DELETE", "declared", {"Origin": "http://evil.example"}, 403),
        ("GET", "", {"Host": "evil.example"}, 403),
        ("GET", "%ff%", {}, 400),
        ("POST", "declared", {}, 501),
        ("PUT", "q", {}, 400),
        ("GET", "topic/subscriptions/s", {}, 501),
    ],
)
def test_odd_requests_are_refused(
    running: Emulator, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """Web pages, foreign hosts and malformed requests get an error and change nothing."""
    request = urllib.request.Request(address(running, path), method=method, headers=headers, data=b"<entry/>")
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request, timeout=QUIET_S)

    assert refusal.value.code == status
    assert b"<Detail>" in refusal.value.read()
    assert running.stderr == ""


def test_body_without_end_is_refused(running: Emulator) -> None:
    """A description of more than 64 KB is not read on."""
    head = b"PUT /q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", running.ready["port"]), timeout=QUIET_S) as plain:
        plain.sendall(head + bytes(70_000))
        assert plain.recv(100).startswith(b"HTTP/1.1 413")


def test_client_with_tls_is_explained_once(running: Emulator) -> None:
    """A client that insists on TLS gets an error; the log says what it needs, once."""
    context = ssl.create_default_context()
    for _ in range(3):
        with (
            suppress(ssl.SSLError, ConnectionError),
            socket.create_connection(("127.0.0.1", running.ready["port"]), timeout=QUIET_S) as plain,
            context.wrap_socket(plain, server_hostname="localhost"),
        ):
            pass

    warning = eventually(lambda: running.stderr, "a warning")
    assert warning.count("UseDevelopmentEmulator=true") == 1
    assert warning.count("\n") == 1
