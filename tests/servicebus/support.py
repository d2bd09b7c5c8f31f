"""What the Service Bus emulator's tests share: the emulator as a process, and SDK clients for it."""

import asyncio
import json
import resource
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Self, TypeVar

import pytest
from azure.servicebus import (
    NEXT_AVAILABLE_SESSION,
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
    ServiceBusSender,
)

from tests.waiting import QUIET_S, Patience, eventually_now

Handler = TypeVar("Handler", ServiceBusSender, ServiceBusReceiver)

EMULATOR = Path(__file__).parents[2] / "devhost" / "servicebus" / "main.js"
DEADLINE_S = QUIET_S
SDK_POLL_S = 0.002

QUEUE_PROFILES: dict[str, dict[str, Any]] = {
    "plain": {"MaxDeliveryCount": 3},
    "brief": {"LockDuration": "PT1S", "MaxDeliveryCount": 3},
    "sessions": {"RequiresSession": True, "MaxDeliveryCount": 3},
    "brief-sessions": {"RequiresSession": True, "LockDuration": "PT1S"},
    "renewable": {"LockDuration": "PT2S"},
    "renewable-sessions": {"RequiresSession": True, "LockDuration": "PT2S"},
    "deduplicating": {"RequiresDuplicateDetection": True, "DuplicateDetectionHistoryTimeWindow": "PT2S"},
    "expiring": {"DefaultMessageTimeToLive": "PT1S", "DeadLetteringOnMessageExpiration": True},
}
"""Kinds of queues by what a test needs of them."""


def topology(queues: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Write queues down in the format of the official emulator's config.json."""
    entries = [{"Name": name, "Properties": properties} for name, properties in queues.items()]
    return {"UserConfig": {"Namespaces": [{"Name": "sbemulatorns", "Queues": entries, "Topics": []}]}}


class Emulator:
    """One emulator process on a data directory; it can be stopped, killed and started again."""

    def __init__(self, directory: Path, queues: dict[str, dict[str, Any]]) -> None:
        self.directory = directory
        self.topology_file = directory / "topology.json"
        self.topology_file.write_text(json.dumps(topology(queues)))
        self._process: subprocess.Popen[bytes] | None = None
        self.ready: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def connection_string(self) -> str:
        """For the SDK, as its documentation writes it for the official emulator."""
        endpoint = f"sb://127.0.0.1:{self.ready['port']}"
        return f"Endpoint={endpoint};SharedAccessKeyName=x;SharedAccessKey=y;UseDevelopmentEmulator=true"

    @property
    def arguments(self) -> list[str]:
        """The command line without a port."""
        data = self.directory / "data"
        return ["node", str(EMULATOR), "--topology", str(self.topology_file), "--data", str(data)]

    def start(self) -> None:
        """Start the process and wait for its ready line."""
        with (self.directory / "stderr.txt").open("ab") as stderr:
            process = subprocess.Popen([*self.arguments, "--port", "0"], stdout=subprocess.PIPE, stderr=stderr)
        self._process = process
        assert process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            assert selector.select(DEADLINE_S), "the emulator did not get ready in time"
        line = process.stdout.readline()
        assert line, f"the emulator did not start: {self.stderr}"
        self.ready = json.loads(line)

    def stop(self) -> int:
        """Ask the process to stop and return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process as a power cut would."""
        if self._process:
            self._end(signal.SIGKILL)

    @contextmanager
    def mute(self) -> Iterator[None]:
        """Let the process do nothing for a while: connections stay open, and nobody gets an answer."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def cpu_seconds(self) -> float:
        """Processor time that the process has used so far (Linux)."""
        assert self._process
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    @property
    def memory_bytes(self) -> int:
        """Memory that the process holds now (Linux)."""
        assert self._process
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * resource.getpagesize()

    @property
    def stderr(self) -> str:
        """Everything that the process wrote to stderr, over all its starts."""
        return (self.directory / "stderr.txt").read_text()

    def _end(self, number: signal.Signals) -> int:
        assert self._process
        assert self._process.stdout
        self._process.send_signal(number)
        code = self._process.wait(DEADLINE_S)
        self._process.stdout.close()
        self._process = None
        return code


class Bus:
    """SDK clients of an emulator, made short for tests and closed at their end."""

    def __init__(self, emulator: Emulator) -> None:
        # The SDK tries three more times by default, for example when there is no session to accept.
        self.client = ServiceBusClient.from_connection_string(emulator.connection_string, retry_total=0)
        self._cleanup = ExitStack()
        self._cleanup.callback(self.client.close)

    def sender(self, queue: str) -> ServiceBusSender:
        """Open a sender."""
        return self._opened(self.client.get_queue_sender(queue))

    def receiver(self, queue: str, **options: Any) -> ServiceBusReceiver:
        """Open a receiver."""
        return self._opened(self.client.get_queue_receiver(queue, **options))

    def next_session(self, queue: str, **options: Any) -> ServiceBusReceiver:
        """Open a receiver for the next available session."""
        return self.receiver(queue, session_id=NEXT_AVAILABLE_SESSION, **{"max_wait_time": 2, **options})

    def pair(self, queue: str, **options: Any) -> tuple[ServiceBusSender, ServiceBusReceiver]:
        """Open a sender and a receiver."""
        return self.sender(queue), self.receiver(queue, **options)

    def send(self, queue: str, *messages: ServiceBusMessage) -> None:
        """Send messages, each on its own, through a sender made for them."""
        with self.client.get_queue_sender(queue) as sender:
            for message in messages:
                sender.send_messages(message)

    def close(self) -> None:
        """Close everything."""
        self._cleanup.close()

    def _opened(self, handler: Handler) -> Handler:
        handler.__enter__()
        # When the emulator has been killed, the SDK forgets to close its socket.
        self._cleanup.callback(socket_of(handler).close)
        self._cleanup.callback(handler.close)
        return handler


def socket_of(handler: ServiceBusSender | ServiceBusReceiver) -> socket.socket:
    """Return the socket of an open sender or receiver, which the SDK does not show."""
    return handler._handler._connection._transport.sock  # type: ignore[union-attr]


def shorten_sdk_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the SDK look more often whether it is ready.

    While it opens a link the SDK sleeps 50 ms between any two frames, and closing one waits for a thread that
    sleeps a second at a time. That would be most of the time of these tests, and says nothing about the emulator.
    """

    def impatient(module: ModuleType) -> SimpleNamespace:
        sleep = module.sleep
        return SimpleNamespace(**{**vars(module), "sleep": lambda seconds: sleep(min(seconds, SDK_POLL_S))})

    for name in ("_servicebus_sender", "_servicebus_receiver", "_session_browser", "_pyamqp.client"):
        monkeypatch.setattr(f"azure.servicebus.{name}.time", impatient(time))
    for name in (
        "aio._servicebus_sender_async",
        "aio._servicebus_receiver_async",
        "aio._session_browser_async",
        "_pyamqp.aio._client_async",
    ):
        monkeypatch.setattr(f"azure.servicebus.{name}.asyncio", impatient(asyncio))


def receive(receiver: ServiceBusReceiver, count: int = 1) -> list[ServiceBusReceivedMessage]:
    """Receive exactly `count` messages, or fail when none comes any more."""
    messages: list[ServiceBusReceivedMessage] = []
    patience = Patience(f"{count} messages")
    while len(messages) < count:
        patience.look(len(messages))
        messages += receiver.receive_messages(count - len(messages), max_wait_time=1)
    return messages


def one(receiver: ServiceBusReceiver) -> ServiceBusReceivedMessage:
    """Receive one message, or fail when none comes any more."""
    return receive(receiver)[0]


def nothing_left(receiver: ServiceBusReceiver) -> bool:
    """Tell whether no message is available now."""
    return receiver.receive_messages(1, max_wait_time=0.3) == []


def texts(messages: Sequence[ServiceBusReceivedMessage]) -> list[str]:
    """Return the bodies of messages as text."""
    return [str(message) for message in messages]


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """Poll a condition until it holds and return what it gave, or fail when none comes any more."""
    return eventually_now(condition, what=what)
