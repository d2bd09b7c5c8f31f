"""The messages between the host and a worker process: length-prefixed pickles over a socket pair.

The host creates the socket pair and the worker inherits it, so nobody else can write to it. Still, only the classes
listed here can be unpickled: what a function returns must be plain data before it leaves its process, and the host
never imports a class of the app.
"""

import asyncio
import http.cookies
import io
import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from azure.functions.meta import Datum

from devhost.index import Function, RetryPolicy, unloaded

_LENGTH = struct.Struct(">Q")
#: Bytes a stream buffers before it stops reading: a large HTTP body then takes few wake-ups.
BUFFER = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Start:
    """The host's first message: what to run, and how."""

    root: str
    #: Longest run of one invocation in seconds; None means no limit.
    timeout_s: float | None
    #: The `durableClient` binding's JSON.
    client_value: str
    verbose: bool = False


@dataclass(frozen=True)
class Ready:
    """The worker has loaded the app."""

    #: The app's functions, without their code.
    functions: list[Function]


@dataclass(frozen=True)
class Refused:
    """The worker cannot run the app; `reason` says what to change."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Invoke:
    """Run a function once."""

    number: int
    function: str
    value: Datum
    metadata: Mapping[str, Datum]
    trace_parent: str | None
    trace_state: str
    #: Retries made, and most allowed.
    retry: tuple[int, int]
    about: str
    quiet: bool


@dataclass(frozen=True)
class Cancel:
    """Interrupt an invocation; there is no reply."""

    number: int


@dataclass(frozen=True, kw_only=True)
class Done:
    """The outcome of an invocation."""

    number: int
    #: What the function failed with, as text; None means success.
    error: str | None = None
    timed_out: bool = False
    value: Datum | None = None
    outputs: Mapping[str, Datum] = field(default_factory=dict)


Message = Start | Ready | Refused | Invoke | Cancel | Done
_CLASSES = {
    (made.__module__, made.__qualname__): made
    for made in (
        Start, Ready, Refused, Invoke, Cancel, Done, Function, RetryPolicy, Datum,
        http.cookies.SimpleCookie, http.cookies.Morsel, frozenset, str, unloaded,
    )
}  # fmt: skip


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        # for example a StrEnum as content type: text, whatever its class
        return (str, (str.__str__(obj),)) if isinstance(obj, str) else NotImplemented


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return _CLASSES[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} does not pass between processes") from None


def pack(message: Message) -> bytes:
    """Return a message as bytes.

    Raises:
        TypeError: It contains something that is not plain data.
    """
    buffer = io.BytesIO()
    try:
        _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(message)
        # Checked here by unpickling, because the other side could only close the connection.
        if isinstance(message, Done):
            unpack(buffer.getvalue())
    except Exception as error:
        raise TypeError(f"the value cannot leave the worker process: {error}") from error
    return buffer.getvalue()


def unpack(data: bytes) -> Any:
    """Return a message from its bytes.

    Raises:
        pickle.UnpicklingError: They contain a class that is not allowed.
    """
    return _Unpickler(io.BytesIO(data)).load()


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send a packed message; returns when the stream's buffer has space again.

    Raises:
        OSError: The other side has closed the connection.
    """
    writer.writelines((_LENGTH.pack(len(data)), data))
    await writer.drain()


async def receive(reader: asyncio.StreamReader) -> Any:
    """Receive a message; None when the other side has closed the connection."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return unpack(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, OSError):
        return None
