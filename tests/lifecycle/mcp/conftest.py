"""MCP servers in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "fakes/mcp_server.py"


@dataclass
class ServerProcess:
    """One server, that can be killed and started again at the same port."""

    folder: Path
    mode: str
    key: str = ""
    port: int = 0
    url: str = ""
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        options = ["--ready-file", str(ready), "--mode", self.mode, "--port", str(self.port), "--key", self.key]
        self._process = subprocess.Popen([sys.executable, str(SCRIPT), *options, "--log", str(self.log)])
        deadline = time.monotonic() + 120
        while not (ready.exists() and ready.read_text(encoding="utf-8")):
            assert time.monotonic() < deadline
            assert self._process.poll() is None
            time.sleep(0.02)
        self.url = ready.read_text(encoding="utf-8")
        self.port = int(self.url.split(":")[2].split("/")[0])

    @property
    def log(self) -> Path:
        return self.folder / "calls"

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The calls that took effect."""
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines]

    def ended(self) -> None:
        """Return once it has ended by itself."""
        assert self._process is not None
        self._process.wait(60)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(60)


@pytest.fixture(params=["stateful", "stateless", "modern"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerProcess]:
    """The official SDK's server."""
    made = ServerProcess(tmp_path, request.param)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def stateful(tmp_path: Path) -> Iterator[ServerProcess]:
    """One with sessions."""
    made = ServerProcess(tmp_path, "stateful")
    made.start()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One that misbehaves; it keeps nothing."""
    made = ServerProcess(tmp_path_factory.mktemp("hostile"), "hostile")
    made.start()
    yield made
    made.kill()
