"""An AMQP 1.0 peer that sends whatever a test wants, well-formed or not."""

import socket
import struct
from dataclasses import dataclass
from typing import Any, Self

from tests.waiting import QUIET_S

AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
OPEN, BEGIN, ATTACH, FLOW, TRANSFER, DISPOSITION, DETACH, END, CLOSE = range(0x10, 0x19)
ACCEPTED, SOURCE, TARGET = 0x24, 0x28, 0x29
PROPERTIES, APPLICATION_PROPERTIES, DATA, VALUE = 0x73, 0x74, 0x75, 0x77
SENDER, RECEIVER = False, True


@dataclass(frozen=True)
class Uint:
    """An unsigned number of four bytes."""

    value: int


@dataclass(frozen=True)
class Symbol:
    """A symbol."""

    text: str


@dataclass(frozen=True)
class Raw:
    """Bytes that are sent as they are, in place of a value."""

    encoded: bytes


@dataclass(frozen=True)
class Described:
    """A value with a numeric descriptor."""

    code: int
    value: Any


def encode(value: Any) -> bytes:
    """Encode a value as AMQP does."""
    match value:
        case None:
            return b"\x40"
        case bool():
            return b"\x41" if value else b"\x42"
        case Raw():
            return value.encoded
        case Uint():
            return b"\x70" + struct.pack(">I", value.value)
        case int():
            return b"\x81" + struct.pack(">q", value)
        case Symbol():
            return b"\xb3" + _sized(value.text.encode())
        case str():
            return b"\xb1" + _sized(value.encode())
        case bytes():
            return b"\xb0" + _sized(value)
        case Described():
            return b"\x00\x53" + bytes([value.code]) + encode(value.value)
        case list():
            return b"\xd0" + _sized(struct.pack(">I", len(value)) + b"".join(map(encode, value)))
        case dict():
            items = b"".join(encode(key) + encode(item) for key, item in value.items())
            return b"\xd1" + _sized(struct.pack(">I", 2 * len(value)) + items)
        case _:
            raise TypeError(value)


def _sized(encoded: bytes) -> bytes:
    return struct.pack(">I", len(encoded)) + encoded


def frame(code: int, fields: Any, payload: bytes = b"", channel: int = 0) -> bytes:
    """Encode a frame with a performative."""
    body = encode(Described(code, fields)) + payload
    return struct.pack(">IBBH", 8 + len(body), 2, 0, channel) + body


def zeros(count: int) -> Raw:
    """An array that claims so many nulls, which take no bytes."""
    return Raw(b"\xf0" + struct.pack(">II", 5, count) + b"\x40")


class Peer:
    """A connection to the emulator over a bare socket."""

    def __init__(self, port: int, *, timeout_s: float = QUIET_S) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *frames: bytes) -> None:
        """Send frames in one piece."""
        self.socket.sendall(b"".join(frames))

    def open(self, **limits: int) -> None:
        """Open the connection and a session."""
        size, idle = limits.get("max_frame_size", 65_536), limits.get("idle_time_out")
        fields = ["peer", "localhost", Uint(size), None, None if idle is None else Uint(idle)]
        self.send(AMQP_HEADER, frame(OPEN, fields), begin())

    def until(self, wanted: bytes) -> bytes:
        """Read until some bytes have come; return everything.

        Raises:
            ConnectionError: The emulator cut the connection first.
        """
        seen = b""
        while wanted not in seen:
            seen += self._some(seen)
        return seen

    def to_the_end(self) -> bytes:
        """Read until the emulator cuts the connection."""
        seen = b""
        try:
            while True:
                seen += self._some(seen)
        except ConnectionError:
            return seen

    def abort(self) -> None:
        """Vanish without a word, as a machine that loses its network."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _some(self, seen: bytes) -> bytes:
        received = self.socket.recv(65_536)
        if not received:
            raise ConnectionError(f"cut off after {seen[-200:]!r}")
        return received


def begin(window: int = 5_000, channel: int = 0) -> bytes:
    """Encode the begin of a session."""
    return frame(BEGIN, [None, Uint(0), Uint(window), Uint(window)], channel=channel)


def attach_receiver(
    address: Any, name: str = "r", handle: int = 0, filters: Any = None, properties: Any = None
) -> bytes:
    """Encode the attach of a link on which the peer receives."""
    source = Described(SOURCE, [address, None, None, None, None, None, None, filters])
    target = Described(TARGET, ["here"])
    fields = [name, Uint(handle), RECEIVER, None, None, source, target, None, None, None, None, None, None, properties]
    return frame(ATTACH, fields)


def attach_sender(address: Any, name: str = "s", handle: int = 0) -> bytes:
    """Encode the attach of a link on which the peer sends."""
    source, target = Described(SOURCE, ["here"]), Described(TARGET, [address])
    return frame(ATTACH, [name, Uint(handle), SENDER, None, None, source, target, None, None, Uint(0)])


def credit(count: int, handle: int = 0, *, drain: bool = False) -> bytes:
    """Encode a flow that gives a link credit."""
    return frame(FLOW, [Uint(0), Uint(5_000), Uint(0), Uint(5_000), Uint(handle), Uint(0), Uint(count), None, drain])


def transfer(number: int, payload: bytes, handle: int = 0, *, more: bool = False) -> bytes:
    """Encode a transfer of a message, or of its first part."""
    return frame(TRANSFER, [Uint(handle), Uint(number), struct.pack(">I", number), Uint(0), None, more], payload)


def message(body: Any, **properties: Any) -> bytes:
    """Encode a message with a value for a body, and application properties."""
    return encode(Described(APPLICATION_PROPERTIES, properties)) + encode(Described(VALUE, body))


def detach(handle: int = 0) -> bytes:
    """Encode the detach of a link."""
    return frame(DETACH, [Uint(handle), True])
