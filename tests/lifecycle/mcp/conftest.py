"""MCP servers in processes of their own."""

from __future__ import annotations

import json
import multiprocessing
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from tests.llmops.notifications.mail_servers import certificate
from tests.waiting import QUIET_S

SERVERS = multiprocessing.get_context("forkserver")
"""Makes the processes of servers from one that has imported the SDK, which takes longer than what they are to do."""
SERVERS.set_forkserver_preload([__name__, "tests.fakes.mcp_server"])
MODES = ("stateful", "stateless", "modern")
"""Those that most tests are run with, one after the other."""


def serve(arguments: Sequence[str]) -> None:
    """Be a server."""
    from tests.fakes.mcp_server import main  # noqa: PLC0415 - in a process of its own only

    main(arguments)


@dataclass
class ServerProcess:
    """One server, that can be killed and started again at the same port."""

    folder: Path
    mode: str
    key: str = ""
    tls: str = ""
    port: int = 0
    url: str = ""
    _process: BaseProcess | None = field(default=None, repr=False)
    _earlier: int = 0

    def start(self) -> None:
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        options = ["--ready-file", str(ready), "--mode", self.mode, "--port", str(self.port), "--key", self.key]
        options += ["--tls", self.tls]
        self._process = SERVERS.Process(target=serve, args=([*options, "--log", str(self.log)],), daemon=True)
        self._process.start()
        deadline = time.monotonic() + QUIET_S
        while not (ready.exists() and ready.read_text(encoding="utf-8")):
            assert time.monotonic() < deadline
            assert self._process.is_alive()
            time.sleep(0.02)
        self.url = ready.read_text(encoding="utf-8")
        self.port = int(self.url.split(":")[2].split("/")[0])

    @property
    def log(self) -> Path:
        return self.folder / "calls"

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The calls that took effect in this test."""
        return self._logged()[self._earlier :]

    def _logged(self) -> list[dict[str, Any]]:
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines]

    def for_a_test(self) -> ServerProcess:
        """Return it, up, with no calls yet: a server serves one test after the other."""
        if self._process is None or not self._process.is_alive():
            self.start()
        self._earlier = len(self._logged())
        return self

    def ended(self) -> None:
        """Return once it has ended by itself."""
        assert self._process is not None
        self._process.join(QUIET_S)
        assert not self._process.is_alive()

    def kill(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self.ended()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ServerProcess]]:
    """One server of the official SDK in each mode, started when it is first wanted."""
    made = {mode: ServerProcess(tmp_path_factory.mktemp(mode), mode) for mode in (*MODES, "closing")}
    yield made
    for one in made.values():
        one.kill()


@pytest.fixture(params=MODES)
def server(request: pytest.FixtureRequest, servers: dict[str, ServerProcess]) -> ServerProcess:
    """The official SDK's server."""
    return servers[request.param].for_a_test()


@pytest.fixture
def stateful(servers: dict[str, ServerProcess]) -> ServerProcess:
    """One with sessions."""
    return servers["stateful"].for_a_test()


@pytest.fixture
def closing(servers: dict[str, ServerProcess]) -> ServerProcess:
    """One that ends session and connection with each call."""
    return servers["closing"].for_a_test()


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[tuple[ServerProcess, ssl.SSLContext]]:
    """One by https that wants a key, and a context that trusts its certificate."""
    _, client = certificate(tmp_path)
    made = ServerProcess(tmp_path, "stateful", key="k-1", tls=str(tmp_path / "mail.pem"))
    made.start()
    yield made, client
    made.kill()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One that misbehaves; it keeps nothing."""
    made = ServerProcess(tmp_path_factory.mktemp("hostile"), "hostile")
    made.start()
    yield made
    made.kill()
