"""The emulator as a program: its command line, its messages, and its behaviour towards strangers."""

import json
import os
import random
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from azure.servicebus import ServiceBusMessage

from tests.servicebus.support import EMULATOR, Bus, Emulator, one, topology
from tests.waiting import QUIET_S

USAGE_ERROR = 2
HEADERS = [b"", b"AMQP\x00\x01\x00\x00", b"AMQP\x03\x01\x00\x00"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the emulator with arguments that it should refuse."""
    command = ["node", str(EMULATOR), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=QUIET_S, check=False)


def test_ready_line_names_the_port_and_the_queues(start_emulator: Callable[..., Emulator]) -> None:
    """The one line on stdout is JSON with the host, the chosen port and the queues."""
    emulator = start_emulator(a={}, b={})
    port = emulator.ready["port"]

    assert emulator.ready == {"event": "ready", "host": "127.0.0.1", "port": port, "queues": ["a", "b"]}
    with socket.create_connection(("127.0.0.1", port), timeout=QUIET_S):
        pass


def test_stops_cleanly_when_asked(start_emulator: Callable[..., Emulator]) -> None:
    """SIGTERM ends the process with code 0 and no word on stderr, even with an open connection."""
    emulator = start_emulator(q={})
    with socket.create_connection(("127.0.0.1", emulator.ready["port"]), timeout=QUIET_S):
        assert emulator.stop() == 0
    assert emulator.stderr == ""


def test_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    """A port that is in use is named with the option that changes it, and no data is touched."""
    data = tmp_path / "data"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("--port", str(port), "--data", str(data))

    assert result.returncode == USAGE_ERROR
    assert result.stderr.count("\n") == 1
    assert f"Port {port} on 127.0.0.1 is in use" in result.stderr
    assert "--port" in result.stderr
    assert not data.exists()


def test_data_directory_has_one_emulator(start_emulator: Callable[..., Emulator]) -> None:
    """A second emulator on the same data is refused and names the first."""
    emulator = start_emulator(q={})
    result = run(*emulator.arguments[2:], "--port", "0")

    assert result.returncode == USAGE_ERROR
    assert "is in use by process" in result.stderr
    assert "--data" in result.stderr


@pytest.mark.parametrize(
    ("properties", "complaint"),
    [
        ({"LockDuration": "1 minute"}, "Queue 'q': LockDuration must be an ISO 8601 duration"),
        ({"MaxDeliveryCount": "ten"}, "Queue 'q': MaxDeliveryCount must be a whole number"),
        ({"ForwardTo": "elsewhere"}, "Queue 'q': ForwardTo is not supported"),
    ],
)
def test_bad_topology_names_queue_and_property(tmp_path: Path, properties: dict[str, Any], complaint: str) -> None:
    """A topology that cannot be honoured is refused with the place and the reason."""
    file = tmp_path / "topology.json"
    file.write_text(json.dumps(topology({"q": properties})))
    result = run("--topology", str(file), "--data", str(tmp_path / "data"), "--port", "0")

    assert result.returncode == USAGE_ERROR
    assert complaint in result.stderr
    assert "at " not in result.stderr.split(complaint)[1], "no stack trace"


def test_unknown_option_shows_the_usage() -> None:
    """A mistyped option is named, and the usage follows."""
    result = run("--prot", "1")

    assert result.returncode == USAGE_ERROR
    assert "--prot" in result.stderr
    assert "Usage:" in result.stderr


@pytest.mark.parametrize(
    "rubbish",
    [
        b"EHLO example.org\r\n",
        b"AMQP\x00\x00\x09\x01",
        b"AMQP\x03\x01\x00\x00" + bytes(64),
        b"AMQP\x00\x01\x00\x00" + b"\x00\x00\x00\x10\x02\x00\x00\x00\x00\x53\x10\xd0\xff\xff\xff\xff",
        b"AMQP\x00\x01\x00\x00" + b"\x00\x00\x00\x0c\x02\x00\x00\x00\x00\x53\x77\x40",
    ],
)
def test_stranger_is_cut_off(emulator: Emulator, rubbish: bytes) -> None:
    """Who does not speak AMQP is dropped at once, without a word on stderr."""
    with socket.create_connection(("127.0.0.1", emulator.ready["port"]), timeout=QUIET_S) as stranger:
        stranger.sendall(rubbish)
        with suppress(ConnectionResetError):
            while stranger.recv(4096):
                pass

    assert emulator.is_running
    assert emulator.stderr == ""


def test_serves_on_after_rubbish(bus: Bus, emulator: Emulator, queue: Callable[[str], str]) -> None:
    """A client that was connected while strangers sent rubbish does not notice."""
    sender, receiver = bus.pair(queue("plain"))
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", emulator.ready["port"]), timeout=QUIET_S) as stranger:
            stranger.sendall(random.choice(HEADERS) + os.urandom(200))
    sender.send_messages(ServiceBusMessage("x"))

    receiver.complete_message(one(receiver))
    assert emulator.stderr == ""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_quiet_receivers_cost_nothing(bus: Bus, emulator: Emulator, queue: Callable[[str], str]) -> None:
    """Receivers that wait for messages and for sessions use no processor time in the emulator."""
    bus.receiver(queue("plain"))
    bus.receiver(queue("sessions"), session_id="s")
    before = emulator.cpu_seconds
    time.sleep(1)

    assert emulator.cpu_seconds - before <= 0.1
