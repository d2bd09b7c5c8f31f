"""The parts of the local stack as processes: Azurite, the Service Bus emulator and the host, each started and awaited.

with start_azurite(data) as azurite, start_service_bus(topology, data) as bus:
    env = {"AzureWebJobsStorage": azurite.connection_string, "ServiceBusConnection": bus.connection_string}
    with start_host(root, env, state_dir=data) as host:
        requests.get(host.url + "/api/health")
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from devhost.errors import StartupError
from devhost.ports import bind
from devhost.processes import Child

#: The directory that holds `devhost/` and `node_modules/`.
PROJECT = Path(__file__).resolve().parent.parent
_AZURITE = PROJECT / "node_modules/azurite/dist/src/azurite.js"
_WITHOUT_TELEMETRY = PROJECT / "devhost/azurite_without_telemetry.cjs"
_EMULATOR = PROJECT / "devhost/servicebus/main.js"
_LISTENING = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at http://[^:]+:(\d+)")
#: Azurite's published account; it opens nothing but emulators.
_ACCOUNT = "devstoreaccount1"
_ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_MIN_NODE = 20


@dataclass(frozen=True)
class Service:
    """A running part of the stack; it stops at the end of a `with` block."""

    child: Child

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop it and wait for its end."""
        self.child.stop()


@dataclass(frozen=True)
class Azurite(Service):
    """Azure Storage's emulator."""

    blob_port: int
    queue_port: int
    table_port: int

    @property
    def connection_string(self) -> str:
        """The connection string of its one account."""
        ports = {"Blob": self.blob_port, "Queue": self.queue_port, "Table": self.table_port}
        endpoints = "".join(f"{name}Endpoint=http://127.0.0.1:{port}/{_ACCOUNT};" for name, port in ports.items())
        return f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_ACCOUNT_KEY};{endpoints}"


@dataclass(frozen=True)
class ServiceBus(Service):
    """The Service Bus emulator."""

    port: int

    @property
    def connection_string(self) -> str:
        """A connection string for the SDKs, without TLS."""
        return f"Endpoint=sb://127.0.0.1:{self.port};SharedAccessKeyName=local;SharedAccessKey=local;UseDevelopmentEmulator=true"


@dataclass(frozen=True)
class RunningHost(Service):
    """A devhost process."""

    url: str

    def kill(self) -> None:
        """Kill it at once, as a crash would."""
        self.child.kill()


def node() -> str:
    """Return the path of Node.js.

    Raises:
        StartupError: It is missing or too old, or the emulators are not installed; the message says how to get them.
    """
    how = "see https://nodejs.org, or `nvm install 20`, `brew install node`, `winget install OpenJS.NodeJS.LTS`"
    path = shutil.which("node")
    if path is None:
        raise StartupError(f"Node.js {_MIN_NODE} or newer is needed for the emulators and was not found: {how}")
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    major = re.match(r"v(\d+)", version)
    if major is None or int(major[1]) < _MIN_NODE:
        raise StartupError(
            f"Node.js {_MIN_NODE} or newer is needed for the emulators, found {version or 'none'}: {how}"
        )
    if not _AZURITE.exists():
        raise StartupError(f"The emulators are not installed: run `npm ci` in {PROJECT}")
    return path


def start_azurite(
    data_dir: Path,
    *,
    blob_port: int = 0,
    queue_port: int = 0,
    table_port: int = 0,
    in_memory: bool = False,
    timeout_s: float = 120.0,
) -> Azurite:
    """Start Azurite; a port of 0 means a free one.

    Args:
        data_dir: Directory of its data and its log.
        blob_port: Port of blobs.
        queue_port: Port of queues.
        table_port: Port of tables.
        in_memory: Write no data, which otherwise is all written again every five seconds in which some of it changed.
        timeout_s: Longest wait for it in seconds.

    Raises:
        StartupError: Node.js is missing.
        ChildFailedError: It was not ready in time.
    """
    ports = {"blob": blob_port, "queue": queue_port, "table": table_port}
    flags = [
        part for name, port in ports.items() for part in (f"--{name}Host", "127.0.0.1", f"--{name}Port", str(port))
    ]
    data_dir.mkdir(parents=True, exist_ok=True)
    command = [
        node(),
        "--require",
        _WITHOUT_TELEMETRY,
        _AZURITE,
        "--silent",
        "--skipApiVersionCheck",
        "--disableTelemetry",
        *(["--inMemoryPersistence"] if in_memory else ["--location", data_dir]),
        *flags,
    ]
    child = Child("Azurite", command, log=data_dir / "azurite.log")

    def listening() -> dict[str, int] | None:
        found = {name.lower(): int(port) for name, port in _LISTENING.findall(child.output())}
        return found if len(found) == len(ports) else None

    found = child.wait_for(listening, timeout_s, "listening on its three ports")
    return Azurite(child, found["blob"], found["queue"], found["table"])


def start_service_bus(
    topology: Path | Mapping[str, Any], data_dir: Path, port: int = 0, *, timeout_s: float = 120.0
) -> ServiceBus:
    """Start the Service Bus emulator.

    Args:
        topology: The queues: a JSON file, or its content, which is then written into `data_dir`.
        data_dir: Directory of its messages.
        port: AMQP port, 0 for a free one.
        timeout_s: Longest wait for it in seconds.

    Raises:
        StartupError: Node.js is missing.
        ChildFailedError: It was not ready in time.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    if not isinstance(topology, Path):
        file = data_dir / "topology.json"
        file.write_text(json.dumps(topology), encoding="utf-8")
        topology = file
    command = [
        node(),
        _EMULATOR,
        "--port",
        str(port),
        "--host",
        "127.0.0.1",
        "--topology",
        topology,
        "--data",
        data_dir,
    ]
    child = Child("Service Bus emulator", command, log=data_dir / "emulator.log")
    return ServiceBus(child, child.wait_for(lambda: _ready_port(child.output()), timeout_s, "its ready line"))


def start_host(
    root: Path,
    env: Mapping[str, str] | None = None,
    port: int = 0,
    state_dir: Path | None = None,
    *,
    rpc_port: int = 0,
    options: tuple[str, ...] = (),
    show_output: bool = False,
    timeout_s: float = 120.0,
    python: Path | None = None,
) -> RunningHost:
    """Start devhost on an app.

    Args:
        root: The app's directory.
        env: App settings; they take precedence over the settings file.
        port: HTTP port, 0 for a free one.
        state_dir: Directory of entities, timers and keys; `.devhost` below the root if None.
        rpc_port: Port of the Durable client's calls, 0 for a free one.
        options: More command-line options, such as `--enforce-keys`.
        show_output: Show its output instead of writing it to `host.log` in the state directory.
        timeout_s: Longest wait for it in seconds.
        python: The interpreter of the environment the app is to run in; this process's own if None.

    Raises:
        ChildFailedError: It could not start, or was not ready in time.
    """
    state = (state_dir or root / ".devhost").resolve()
    state.mkdir(parents=True, exist_ok=True)
    ready = state / "ready.json"
    ready.unlink(missing_ok=True)
    command = [
        python or sys.executable, "-m", "devhost", "--root", root.resolve(),
        "--port", str(port), "--rpc-port", str(rpc_port),
        "--state", state, "--ready-file", ready, *options,
    ]  # fmt: skip
    path = {"PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1"}
    child = Child(
        "devhost", command, log=None if show_output else state / "host.log", env={**path, **(env or {})}, cwd=root
    )
    url = child.wait_for(
        lambda: json.loads(ready.read_text())["url"] if ready.exists() else None, timeout_s, "being ready"
    )
    return RunningHost(child, url)


def check_port(port: int, option: str) -> None:
    """Check that a port is free now.

    Raises:
        PortTakenError: It is not.
    """
    bind("127.0.0.1", port, option).close()


def _ready_port(output: str) -> int | None:
    for line in output.splitlines():
        if line.startswith("{"):
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a line still being written
            if event.get("event") == "ready":
                return int(event["port"])
    return None
