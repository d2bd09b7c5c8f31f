"""Many sessions: accepted and closed one after another and side by side, on one connection and on many.

The Python SDK opens a connection for each receiver and cannot share one, so one connection is a bare peer's here, and
the JavaScript SDK's in its own suite.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from tests.servicebus import peers
from tests.servicebus.peers import Peer, Symbol, Uint
from tests.servicebus.support import Bus, Emulator

SESSIONS = 100
NEXT = {Symbol("com.microsoft:session-filter"): None}
LOCKED = b"locked-until-utc"
DETACHED = b"\x00\x53\x16"
#: A data section of eleven bytes.
BODY = b"\x00\x53\x75\xa0\x0b"


@pytest.fixture
def peer(emulator: Emulator) -> Iterator[Peer]:
    """Open a connection with one AMQP session."""
    with Peer(emulator.ready["port"]) as connected:
        connected.open()
        yield connected


def fill(bus: Bus, queue: str, count: int = SESSIONS) -> set[str]:
    """Send one message to each of many sessions and return their ids, which are the bodies too."""
    ids = {f"session-{number:03}" for number in range(count)}
    with bus.client.get_queue_sender(queue) as sender:
        sender.send_messages([ServiceBusMessage(each, session_id=each) for each in sorted(ids)])
    return ids


def accept(queue: str, handle: int) -> bytes:
    """Encode a link for the next session, with credit for one message."""
    return peers.attach_receiver(queue, f"link {handle}", handle, NEXT) + peers.credit(1, handle)


def completed(first: int, last: int) -> bytes:
    """Encode the completion of deliveries."""
    state = peers.Described(peers.ACCEPTED, [])
    return peers.frame(peers.DISPOSITION, [peers.RECEIVER, Uint(first), Uint(last), True, state])


def received(frames: bytes) -> set[str]:
    """Return the sessions whose messages are in what was read."""
    return {found.decode() for found in re.findall(rb"\x00\x53\x75\xa0\x0b(session-\d{3})", frames)}


def read(peer: Peer, wanted: bytes, count: int) -> bytes:
    """Read until some bytes have come so often."""
    seen = b""
    while seen.count(wanted) < count:
        chunk = peer.socket.recv(65_536)
        assert chunk, "cut off"
        seen += chunk
    return seen


def test_one_after_another_on_one_connection(peer: Peer, bus: Bus, queue: Callable[[str], str]) -> None:
    """A hundred sessions are accepted, emptied and closed on one link handle; nothing of a closed one is in the way."""
    name = queue("sessions")
    ids = fill(bus, name)
    seen: set[str] = set()
    for number in range(SESSIONS):
        peer.send(accept(name, 0))
        seen |= received(read(peer, BODY, 1))
        peer.send(completed(number, number), peers.detach(0))
        read(peer, DETACHED, 1)

    assert seen == ids
    assert bus.receiver(name, session_id="session-000").peek_messages(1) == []


def test_side_by_side_on_one_connection(peer: Peer, bus: Bus, queue: Callable[[str], str]) -> None:
    """A hundred links of one connection are attached at once; each has another session and its message."""
    name = queue("sessions")
    ids = fill(bus, name)
    peer.send(*(accept(name, handle) for handle in range(SESSIONS)))
    frames = read(peer, BODY, SESSIONS)
    assert received(frames) == ids
    assert frames.count(LOCKED) == SESSIONS

    peer.send(completed(0, SESSIONS - 1), *(peers.detach(handle) for handle in range(SESSIONS)))
    read(peer, DETACHED, SESSIONS)
    fill(bus, name)
    peer.send(accept(name, 0))
    read(peer, BODY, 1)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_closed_links_leave_nothing_behind(
    emulator: Emulator, peer: Peer, bus: Bus, queue: Callable[[str], str]
) -> None:
    """Thousands of links that come and go on one connection, each with a handle of its own, take no memory."""
    name = queue("sessions")
    fill(bus, name)

    def churn(handles: range) -> None:
        for start in handles[::100]:
            batch = range(start, start + 100)
            peer.send(*(peers.attach_receiver(name, f"link {each}", each, NEXT) + peers.detach(each) for each in batch))
            read(peer, DETACHED, len(batch))

    churn(range(2_000))
    before = emulator.memory_bytes
    churn(range(2_000, 10_000))

    assert emulator.memory_bytes - before < 60 * 2**20


async def test_side_by_side_with_the_asynchronous_sdk(
    emulator: Emulator, bus: Bus, queue: Callable[[str], str]
) -> None:
    """Eight workers drain forty sessions between them, and each session is had once."""
    name = queue("sessions")
    ids = fill(bus, name, 40)

    async def work(client: ServiceBusClient) -> list[str]:
        drained: list[str] = []
        for _ in range(5):
            async with client.get_queue_receiver(name, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=30) as receiver:
                (message,) = await receiver.receive_messages(1, max_wait_time=30)
                assert str(message) == receiver.session.session_id
                await receiver.complete_message(message)
                drained.append(receiver.session.session_id)
        return drained

    async with ServiceBusClient.from_connection_string(emulator.connection_string, retry_total=0) as client:
        drained = await asyncio.gather(*(work(client) for _ in range(8)))

    assert sorted(each for worker in drained for each in worker) == sorted(ids)


@pytest.mark.parametrize("goodbye", [peers.detach(0), peers.frame(peers.END, []), peers.frame(peers.CLOSE, [])])
def test_settlement_right_before_the_end_counts(
    peer: Peer, bus: Bus, queue: Callable[[str], str], goodbye: bytes
) -> None:
    """A message completed in the same breath as its link, session or connection ends is completed."""
    name = queue("plain")
    bus.send(name, ServiceBusMessage("session-000"))
    peer.send(peers.attach_receiver(name), peers.credit(1))
    frames = read(peer, BODY, 1)
    assert frames.index(b"\x00\x53\x12") < frames.index(b"\x00\x53\x14"), "the attach is answered first"
    peer.send(completed(0, 0), goodbye)
    read(peer, bytes([goodbye[10]]), 1)

    assert bus.receiver(name).peek_messages(1) == []
