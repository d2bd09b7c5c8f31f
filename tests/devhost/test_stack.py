"""The whole local stack in one command."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.data.tables import TableServiceClient

from devhost import services
from devhost.errors import StartupError
from devhost.processes import Child
from devhost.services import PROJECT, Azurite, ServiceBus, start_azurite, start_service_bus
from devhost.stack import emulator_settings
from tests.waiting import QUIET_S

ROOT = Path(__file__).parent / "apps/sample"
PORTS = ("--port", "--rpc-port", "--blob-port", "--queue-port", "--table-port", "--amqp-port")


def _command(data: Path, *options: str) -> list[str]:
    zeros = [part for option in PORTS for part in (option, "0")]
    return [sys.executable, "-u", "-m", "devhost.stack", "--root", str(ROOT), "--data", str(data), *zeros, *options]


def _children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_starts_everything_and_leaves_nothing(tmp_path: Path, eventually: Callable[..., Any]) -> None:
    """Each part tells that it is up, the command after them runs, and Ctrl-C ends all within seconds with 0."""
    after = f"{sys.executable} -c \"import os; open('{tmp_path}/after', 'w').write(os.environ['DEVHOST_URL'])\""
    command = _command(tmp_path / "data", "--after", after, "--try", "curl it")
    child = Child("stack", command, log=tmp_path / "stack.log", env={"TICK_SCHEDULE": "0 0 * * * *"}, cwd=PROJECT)

    child.wait_for(lambda: "Ctrl-C stops everything" in child.output() or None, QUIET_S, "its last line")
    output, parts = child.output(), _children(child.pid)
    os.kill(child.pid, signal.SIGINT)

    assert child.wait_for_end(QUIET_S) == 0
    assert len(parts) == 3
    assert not [pid for pid in parts if Path(f"/proc/{pid}").exists()]
    ready = re.search(r"Host ready on (\S+)", output)
    assert ready is not None
    assert ready[1] == (tmp_path / "after").read_text()
    order = ["AMQP on", "tables on", "Durable entities (1)", "Host ready on", "Try it:\n  curl it"]
    assert sorted(order, key=output.index) == order


def test_a_taken_port_names_the_option(tmp_path: Path) -> None:
    """Whatever part's port is taken, one line names port and option before anything starts."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = subprocess.run(
            _command(tmp_path, "--table-port", str(port)),
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=QUIET_S,
            check=False,
        )

    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert f"Port {port} is already in use" in result.stderr
    assert "--table-port" in result.stderr


def test_a_second_stack_on_the_same_data_starts_nothing(tmp_path: Path) -> None:
    """It says who uses the directory; Azurite, which would overwrite the first one's tables, is not started."""
    with start_service_bus(PROJECT / "devhost/servicebus/topology.json", tmp_path / "servicebus") as bus:
        result = subprocess.run(
            _command(tmp_path), cwd=PROJECT, capture_output=True, text=True, timeout=QUIET_S, check=False
        )

    assert result.returncode == 1
    assert f"is in use by process {bus.child.pid}" in result.stderr
    assert "Azurite" not in result.stdout
    assert not (tmp_path / "azurite").exists()


def test_settings_that_mean_an_emulator_get_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of the settings file that name the development emulators are replaced, others and set ones are not."""
    monkeypatch.setenv("SetBus", "mine")
    values = {
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "Bus": "Endpoint=sb://localhost;UseDevelopmentEmulator=true",
        "SetBus": "Endpoint=sb://localhost;UseDevelopmentEmulator=true",
        "Other": "x",
    }
    (tmp_path / "local.settings.json").write_text(json.dumps({"Values": values}))
    child: Any = None
    azurite, bus = Azurite(child, 1, 2, 3), ServiceBus(child, 4)

    settings = emulator_settings(tmp_path, azurite, bus)

    assert {"AzureWebJobsStorage": azurite.connection_string, "Bus": bus.connection_string} == settings
    assert "TableEndpoint=http://127.0.0.1:3/devstoreaccount1" in azurite.connection_string
    assert "Endpoint=sb://127.0.0.1:4;" in bus.connection_string


def test_missing_node_is_said_with_a_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Node.js, or without node_modules, the message says what to do."""
    monkeypatch.setattr(services, "_AZURITE", tmp_path / "missing")
    with pytest.raises(StartupError, match="npm ci"):
        services.node()

    monkeypatch.setenv("PATH", "")
    with pytest.raises(StartupError, match=r"Node\.js 20 or newer.*https://nodejs\.org"):
        services.node()


def test_azurite_is_reached_by_its_connection_string(tmp_path: Path) -> None:
    """The SDK finds all of Azurite through the connection string."""
    with (
        start_azurite(tmp_path) as azurite,
        TableServiceClient.from_connection_string(azurite.connection_string) as tables,
    ):
        tables.create_table("made")

        assert [table.name for table in tables.list_tables()] == ["made"]
