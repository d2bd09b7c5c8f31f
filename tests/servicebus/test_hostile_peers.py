"""What a peer that breaks the rules of AMQP can do to the emulator: be cut off, and nothing else."""

import random
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from azure.servicebus import ServiceBusMessage

from tests.servicebus import peers
from tests.servicebus.peers import Peer, Raw, Symbol, Uint
from tests.servicebus.support import Bus, Emulator, eventually, one

SESSION_FILTER = Symbol("com.microsoft:session-filter")
BILLIONS = 4_294_967_295
MEGABYTE = 1_048_576
ROOM = 90 * MEGABYTE
"""Half of what a test sends, which the emulator may have as garbage but does not keep."""

linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")


@pytest.fixture
def peer(emulator: Emulator) -> Iterator[Peer]:
    """Connect a peer to the shared emulator."""
    with Peer(emulator.ready["port"]) as connected:
        yield connected


@pytest.fixture(autouse=True)
def _serves_on(emulator: Emulator, bus: Bus, queue: Callable[[str], str]) -> Iterator[None]:
    """Whatever a test did, another client does not notice, and the emulator has nothing to complain of."""
    sender, receiver = bus.pair(queue("plain"))
    before = emulator.stderr
    yield
    sender.send_messages(ServiceBusMessage("x"))
    receiver.complete_message(one(receiver))
    assert emulator.is_running
    assert emulator.stderr == before


@linux
def test_announced_giant_frame_is_not_taken_in(emulator: Emulator, peer: Peer) -> None:
    """A frame above the limit is refused when it is announced, with an error; its bytes are not kept."""
    peer.open()
    peer.until(encoded(peers.BEGIN))
    before = emulator.memory_bytes
    peer.send(struct.pack(">IBBH", 2**31 - 1, 2, 0, 0))
    with suppress(ConnectionError):
        for _ in range(200):
            peer.send(bytes(MEGABYTE))

    assert emulator.memory_bytes - before < ROOM


def test_refused_frame_is_named(peer: Peer) -> None:
    """Who announces too large a frame is told the limit before the connection ends."""
    peer.open()
    peer.until(encoded(peers.BEGIN))
    peer.send(struct.pack(">IBBH", 65_537, 2, 0, 0) + bytes(100))

    assert b"65537 bytes was announced; the limit is 65536" in peer.to_the_end()


def test_largest_allowed_frame_is_taken(peer: Peer, queue: Callable[[str], str]) -> None:
    """A frame of exactly the limit is in order."""
    peer.open()
    peer.send(peers.attach_sender(queue("plain")))
    peer.until(encoded(peers.FLOW))
    bare = len(peers.transfer(0, peers.message(b"")))
    peer.send(peers.transfer(0, peers.message(bytes(65_536 - bare))))

    assert encoded(peers.ACCEPTED) in peer.until(encoded(peers.DISPOSITION))


def encoded(code: int) -> bytes:
    """Encode the descriptor of a performative or an outcome."""
    return b"\x00\x53" + bytes([code])


@linux
def test_message_without_end_is_not_kept(emulator: Emulator, peer: Peer, queue: Callable[[str], str]) -> None:
    """Of a message above the limit only its length is kept; when it ends it is refused as too large."""
    name = queue("plain")
    peer.open()
    peer.send(peers.attach_sender(name))
    peer.until(encoded(peers.FLOW))
    before = emulator.memory_bytes
    for _ in range(3_000):
        peer.send(peers.transfer(0, bytes(60_000), more=True))
    assert emulator.memory_bytes - before < ROOM

    peer.send(peers.transfer(0, b"end"))
    assert b"message-size-exceeded" in peer.until(encoded(peers.DISPOSITION))
    peer.send(peers.transfer(1, peers.message("next")))
    assert encoded(peers.ACCEPTED) in peer.until(encoded(peers.DISPOSITION))


@pytest.mark.parametrize("role", [peers.SENDER, peers.RECEIVER])
def test_disposition_of_billions_of_deliveries_costs_nothing(
    peer: Peer, bus: Bus, queue: Callable[[str], str], role: bool
) -> None:
    """A range of deliveries is not gone through one by one; those that the session has are settled."""
    name = queue("plain")
    bus.send(name, ServiceBusMessage("x"))
    peer.open()
    peer.send(peers.attach_receiver(name), peers.credit(1))
    peer.until(encoded(peers.TRANSFER))
    state = peers.Described(peers.ACCEPTED, [])
    peer.send(peers.frame(peers.DISPOSITION, [role, Uint(0), Uint(BILLIONS), True, state]))
    peer.send(peers.frame(peers.DISPOSITION, [peers.RECEIVER, Uint(0), Uint(BILLIONS), True, state]))

    eventually(lambda: bus.receiver(name).peek_messages(1) == [], "the message was completed")


def test_drain_of_billions_costs_nothing(peer: Peer, queue: Callable[[str], str]) -> None:
    """A link with the largest credit is drained at once."""
    peer.open()
    peer.send(peers.attach_receiver(queue("plain")), peers.credit(BILLIONS, drain=True))

    assert struct.pack(">BI", 0x70, BILLIONS) in peer.until(encoded(peers.FLOW)) + peer.until(b"")


@pytest.mark.parametrize("size", [0, 1, 50, 511])
def test_frames_cannot_be_made_smaller_than_amqp_allows(peer: Peer, size: int) -> None:
    """A peer that asks for frames below 512 bytes is cut off: messages would be cut into pieces without end."""
    peer.send(peers.AMQP_HEADER, peers.frame(peers.OPEN, ["peer", "localhost", Uint(size)]), peers.begin())

    assert encoded(peers.BEGIN) not in peer.to_the_end()


def test_small_frames_carry_large_messages(peer: Peer, bus: Bus, queue: Callable[[str], str]) -> None:
    """A peer that takes the smallest frames gets a message in many of them."""
    name = queue("plain")
    bus.send(name, ServiceBusMessage(b"a" * 10_000 + b"end"))
    peer.open(max_frame_size=512)
    peer.send(peers.attach_receiver(name), peers.credit(1))

    assert peer.until(b"end").count(encoded(peers.TRANSFER)) > 20


def test_array_of_billions_of_nothings_is_not_read(peer: Peer) -> None:
    """An array whose items take no bytes is not read item by item: in a frame it ends the connection."""
    peer.open()
    peer.send(peers.frame(peers.ATTACH, ["r", Uint(0), True, None, None, None, None, peers.zeros(BILLIONS)]))

    peer.to_the_end()


@pytest.mark.parametrize("nested", ["arrays", "descriptors", "lists"])
def test_malformed_message_is_refused(peer: Peer, queue: Callable[[str], str], nested: str) -> None:
    """A message that would take for ever or too deep to read is refused, and the link goes on."""
    deep = {
        "arrays": peers.encode(peers.Described(peers.APPLICATION_PROPERTIES, {"a": peers.zeros(BILLIONS)})),
        "descriptors": b"\x00" * 50_000,
        "lists": b"\x00\x53\x74" + b"\xd1\x00\x00\xff\x00\x00\x00\x00\x02" * 5_000,
    }[nested]
    peer.open()
    peer.send(peers.attach_sender(queue("plain")))
    peer.until(encoded(peers.FLOW))
    peer.send(peers.transfer(0, deep + peers.message("x")))
    assert b"decode-error" in peer.until(encoded(peers.DISPOSITION))
    peer.send(peers.transfer(1, peers.message("x")))
    assert encoded(peers.ACCEPTED) in peer.until(encoded(peers.DISPOSITION))


@pytest.mark.parametrize(
    ("attach", "condition"),
    [
        (peers.attach_receiver("{sessions}", filters="text"), b"invalid-field"),
        (peers.attach_receiver("{sessions}", filters=["a", "b"]), b"invalid-field"),
        (peers.attach_receiver("{sessions}", filters={SESSION_FILTER: 7}), b"invalid-field"),
        (peers.attach_receiver("{sessions}", filters={SESSION_FILTER: {"a": 1}}), b"invalid-field"),
        (peers.attach_receiver("{sessions}", filters={SESSION_FILTER: peers.zeros(2)}), b"invalid-field"),
        (peers.attach_receiver(7), b"invalid-field"),
        (peers.attach_receiver({"a": 1}), b"invalid-field"),
        (peers.attach_receiver(None), b"not-implemented"),
        (peers.attach_sender(["a"]), b"invalid-field"),
        (peers.attach_sender("no such queue"), b"not-found"),
    ],
)
def test_malformed_attach_is_refused(peer: Peer, queue: Callable[[str], str], attach: bytes, condition: bytes) -> None:
    """A link with a malformed filter or address is refused with the reason; the connection stays."""
    name = queue("sessions")
    name, placeholder = name.encode(), b"{sessions}"
    # The length of a string stands before it, so that the name is filled up to the length of the placeholder.
    attach = attach.replace(placeholder, name.ljust(len(placeholder), b"/"))
    peer.open()
    peer.send(attach)
    peer.until(condition)
    peer.send(peers.frame(peers.END, []))
    peer.until(encoded(peers.END))


def test_odd_filters_and_timeouts_are_harmless(peer: Peer, queue: Callable[[str], str]) -> None:
    """Unknown filters are ignored, and a timeout that is no number is the usual one."""
    decimal = Raw(b"\x94" + bytes(16))
    peer.open()
    peer.send(peers.attach_receiver(queue("plain"), "a", 0, {Symbol("x"): peers.Described(0x70, "y")}))
    peer.until(encoded(peers.ATTACH))
    timeout = {Symbol("com.microsoft:timeout"): "soon"}
    peer.send(peers.attach_receiver(queue("sessions"), "b", 1, {SESSION_FILTER: None}, timeout), peers.detach(1))
    peer.until(encoded(peers.DETACH))
    peer.send(peers.attach_receiver(queue("plain"), "c", 2, {Symbol("x"): decimal}))
    with suppress(ConnectionError):
        peer.until(encoded(peers.ATTACH))


@pytest.mark.parametrize(
    "frames",
    [
        peers.frame(0x77, []),
        peers.frame(0x19, []),
        peers.frame(peers.ATTACH, {"a": 1}),
        peers.frame(peers.ATTACH, []),
        peers.frame(peers.ATTACH, [None, None, True]),
        peers.frame(peers.OPEN, ["again"]),
        peers.credit(1, handle=9),
        peers.transfer(0, b"x", handle=9),
        peers.detach(9),
        peers.frame(peers.END, [], channel=9),
        peers.frame(peers.FLOW, [None] * 11),
        peers.frame(peers.DISPOSITION, [True, None, None, True]),
        peers.frame(peers.DISPOSITION, [True, "a", "b", True, 5]),
        peers.frame(peers.CLOSE, [peers.Described(0x1D, [Symbol("x"), 5, 7])]),
        peers.frame(peers.BEGIN, [Uint(7)], channel=1),
        struct.pack(">IBBH", 8, 2, 7, 0),
        struct.pack(">IBBH", 8, 1, 0, 0),
        struct.pack(">IBBH", 8, 255, 0, 0),
        struct.pack(">I", 0) * 3,
        struct.pack(">IBBH", 5, 2, 0, 0),
        peers.frame(peers.ATTACH, Raw(b"\xd0\x00\x00\x00\x04\xff\xff\xff\xff")),
        peers.frame(peers.ATTACH, Raw(b"\x00" * 5_000)),
        peers.attach_receiver("$cbs", "r", 0) + peers.attach_receiver("$cbs", "r", 1),
    ],
)
def test_frame_out_of_order_harms_nobody(peer: Peer, frames: bytes) -> None:
    """Unknown, empty, misplaced and contradictory frames end at most the connection that they came on."""
    peer.open()
    peer.until(encoded(peers.BEGIN))
    peer.send(frames)
    with suppress(OSError):
        peer.send(peers.frame(peers.CLOSE, []))

    peer.to_the_end()


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("renew-lock", {"lock-tokens": 7}),
        ("renew-lock", {"lock-tokens": ["a"]}),
        ("update-disposition", {"lock-tokens": [b"short"], "disposition-status": "completed"}),
        ("update-disposition", {"lock-tokens": [], "disposition-status": 5}),
        ("update-disposition", {"lock-tokens": [], "disposition-status": "toString"}),
        ("update-disposition", {"disposition-status": "abandoned", "properties-to-modify": [1]}),
        ("peek-message", {"message-count": "many"}),
        ("peek-message", {"message-count": 1, "from-sequence-number": [1]}),
        ("receive-by-sequence-number", {"sequence-numbers": ["x"], "receiver-settle-mode": 1}),
        ("schedule-message", {"messages": [5]}),
        ("schedule-message", {"messages": [{"message": b"rubbish"}]}),
        ("cancel-scheduled-message", {"sequence-numbers": {"a": 1}}),
        ("peek-message", [1, 2]),
        ("peek-message", "text"),
        ("peek-message", b"bytes"),
        ("no-such-operation", {}),
        ("toString", {}),
    ],
)
def test_malformed_request_is_answered(peer: Peer, queue: Callable[[str], str], operation: str, body: Any) -> None:
    """A management request with a malformed body gets an answer with a client's fault, not a failure."""
    address = f"{queue('plain')}/$management"
    peer.open()
    peer.send(peers.attach_receiver(address, "answers", 0), peers.credit(10), peers.attach_sender(address, "asks", 1))
    peer.until(encoded(peers.FLOW))
    peer.send(peers.transfer(0, peers.message(body, operation=f"com.microsoft:{operation}"), handle=1))
    answer = peer.until(b"statusDescription")

    assert b"internal-error" not in answer
    assert b"errorCondition" in answer + peer.until(b"")


def test_link_name_and_handle_can_be_used_again_at_once(peer: Peer, bus: Bus, queue: Callable[[str], str]) -> None:
    """A detached link is gone for good, also when the next one of its name and handle comes right behind it."""
    name = queue("plain")
    bus.send(name, ServiceBusMessage("first"), ServiceBusMessage("second"))
    peer.open()
    for _ in range(50):
        peer.send(peers.attach_receiver(name), peers.detach())
    peer.send(peers.attach_receiver(name), peers.credit(1))
    peer.until(b"first")
    peer.send(peers.detach(), peers.attach_receiver(name), peers.credit(2))
    peer.until(b"second")


def test_session_of_a_vanished_peer_is_free_at_once(peer: Peer, bus: Bus, queue: Callable[[str], str]) -> None:
    """A connection that breaks off gives its session and messages back, uncounted."""
    name = queue("sessions")
    bus.send(name, ServiceBusMessage("x", session_id="s"))
    peer.open()
    peer.send(peers.attach_receiver(name, filters={SESSION_FILTER: "s"}), peers.credit(1))
    peer.until(encoded(peers.TRANSFER))
    peer.abort()

    assert one(bus.next_session(name)).delivery_count == 0


@linux
def test_peer_that_reads_nothing_is_read_no_more(emulator: Emulator, peer: Peer, queue: Callable[[str], str]) -> None:
    """Answers to a peer that asks and never reads do not pile up."""
    name = queue("plain")
    address = f"{name}/$management"
    peer.open()
    peer.send(peers.attach_sender(name, "fills", 2))
    peer.until(encoded(peers.FLOW))
    for number in range(8):
        peer.send(peers.transfer(number, peers.message(bytes(50_000)), handle=2))
    peer.send(peers.attach_receiver(address, "answers", 0), peers.credit(5_000))
    peer.send(peers.attach_sender(address, "asks", 1))
    before = emulator.memory_bytes
    body = {"message-count": 250, "from-sequence-number": 0}
    request = peers.message(body, operation="com.microsoft:peek-message")
    peer.socket.settimeout(3)
    with suppress(TimeoutError, ConnectionError):
        for number in range(400):
            peer.send(peers.transfer(8 + number, request, handle=1))

    assert emulator.memory_bytes - before < 2 * ROOM


@pytest.mark.parametrize("seed", range(4))
def test_damaged_frames_harm_nobody(emulator: Emulator, queue: Callable[[str], str], seed: int) -> None:
    """Well-formed conversations with random bytes changed, cut out and doubled end at most their own connection."""
    dice = random.Random(seed)
    plain, sessions = queue("plain"), queue("sessions")
    whole = b"".join(
        [
            peers.frame(peers.OPEN, ["peer", "localhost", Uint(65_536)]),
            peers.begin(),
            peers.attach_sender(plain, "s", 0),
            peers.transfer(0, peers.message({"a": [1, "b"]}, key="value")),
            peers.attach_receiver(plain, "r", 1),
            peers.credit(5, 1),
            peers.attach_receiver(sessions, "sessions", 2, {SESSION_FILTER: "a"}),
            peers.attach_receiver(f"{plain}/$management", "answers", 3),
            peers.credit(5, 3),
            peers.attach_sender(f"{plain}/$management", "asks", 4),
            peers.transfer(1, peers.message({"message-count": 5}, operation="com.microsoft:peek-message"), handle=4),
            peers.frame(peers.DISPOSITION, [True, Uint(0), Uint(3), True, peers.Described(peers.ACCEPTED, [])]),
            peers.detach(1),
        ]
    )
    for _ in range(100):
        damaged = bytearray(whole)
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(len(damaged))
            match dice.randrange(4):
                case 0:
                    damaged[at] = dice.randrange(256)
                case 1:
                    del damaged[at : at + dice.randrange(1, 8)]
                case 2:
                    damaged[at:at] = damaged[at : at + dice.randrange(1, 40)]
                case _:
                    damaged[at] ^= 1 << dice.randrange(8)
        with Peer(emulator.ready["port"]) as peer, suppress(ConnectionError):
            peer.send(peers.AMQP_HEADER, bytes(damaged))

    assert emulator.is_running
