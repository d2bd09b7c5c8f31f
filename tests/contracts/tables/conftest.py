"""Every implementation of the Tables seam, and the emulator that one of them needs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from adapters.azure_tables import AzureTables
from adapters.file_tables import FileTables
from adapters.memory_tables import MemoryTables
from kernel.tables import Tables
from tests.waiting import QUIET_S

_ROOT = Path(__file__).parents[3]
_AZURITE = _ROOT / "node_modules/azurite/dist/src/table/main.js"
_WITHOUT_TELEMETRY = _ROOT / "devhost/azurite_without_telemetry.cjs"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # Azurite's, public


@pytest.fixture(scope="session")
def azurite() -> Iterator[int]:
    """Yield the port of an Azurite table service of this test session's own."""
    if shutil.which("node") is None or not _AZURITE.exists():
        missing = "Azurite is not installed: `npm ci` with Node 20 or later"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    process, port = start()
    yield port
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture
def connection(azurite: int) -> str:
    """Return the connection string of the emulator."""
    return connection_string(azurite)


@pytest.fixture(params=["memory", "file", "azurite"])
async def tables(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Tables]:
    """Yield each implementation of the seam in turn."""
    if request.param == "memory":
        made: Tables = MemoryTables()
    elif request.param == "file":
        made = FileTables(tmp_path / "storage.db")
    else:
        made = AzureTables.from_connection_string(request.getfixturevalue("connection"))
    yield made
    await made.aclose()


@pytest.fixture
def table() -> str:
    """Return the name of a table that no other test uses."""
    return f"t{uuid.uuid4().hex}"


def connection_string(port: int) -> str:
    """Return the connection string of a table service on this machine."""
    endpoint = f"http://127.0.0.1:{port}/devstoreaccount1"
    return f"AccountName=devstoreaccount1;AccountKey={_KEY};TableEndpoint={endpoint};"


def start(*more: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start Azurite on a free port; another process can take the port in between, so try again then."""
    for _ in range(5):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        flags = "--silent --disableTelemetry --inMemoryPersistence --skipApiVersionCheck --tableHost 127.0.0.1"
        process = subprocess.Popen(
            ["node", "--require", _WITHOUT_TELEMETRY, _AZURITE, *flags.split(), *more, "--tablePort", str(port)],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + QUIET_S
        while process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
                continue
            time.sleep(0.02)
            if process.poll() is None:  # else it was another process that answered
                return process, port
        process.kill()
        process.wait()
    pytest.fail("Azurite did not start")
