"""What the devhost tests share: sample apps run by a real host process, HTTP calls, and waiting."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devhost.services import RunningHost, start_host
from tests.servicebus.support import shorten_sdk_polls
from tests.waiting import QUIET_S, eventually_now

APPS = Path(__file__).parent / "apps"


@dataclass(frozen=True)
class Answer:
    """An HTTP response, read whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())


def _call(
    method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None, timeout_s: float = QUIET_S
) -> Answer:
    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with _OPENER.open(request, timeout=timeout_s) as response:
            return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())


@dataclass
class Sample:
    """A sample app, running: its address, and the log its functions write."""

    host: RunningHost
    log: Path
    state: Path

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = QUIET_S,
    ) -> Answer:
        return _call(method, self.host.url + path, body, headers, timeout_s)

    def notes(self, **wanted: Any) -> list[dict[str, Any]]:
        """Return the lines functions have written whose values are as wanted."""
        lines = self.log.read_text().rpartition("\n")[0].splitlines() if self.log.exists() else []
        notes = [json.loads(line) for line in lines]
        return [note for note in notes if all(note.get(key) == value for key, value in wanted.items())]

    def signal(self, key: str, operation: str, value: Any = None, name: str = "Counter") -> Answer:
        """Signal an entity as the SDK's client does: JSON of JSON."""
        body = json.dumps(json.dumps(value)).encode() if value is not None else b""
        path = f"/runtime/webhooks/durabletask/entities/{name}/{key}?op={operation}"
        return self.call("POST", path, body, {"Content-Type": "application/json"})

    def state_of(self, key: str, name: str = "counter") -> Any:
        """Return an entity's state, None if it does not exist."""
        answer = self.call("GET", f"/runtime/webhooks/durabletask/entities/{name}/{key}")
        return answer.json() if answer.status == 200 else None

    def host_log(self) -> str:
        return (self.state / "host.log").read_text()


Launch = Callable[..., Sample]


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """Poll until a probe answers something true."""
    return eventually_now


@pytest.fixture(scope="session")
def observe() -> type[Sample]:
    """Watch a host that a test has started itself."""
    return Sample


@pytest.fixture(autouse=True)
def _impatient_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_sdk_polls(monkeypatch)


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Start sample apps that stop with the test; the state directory may be shared between starts."""
    hosts: list[RunningHost] = []

    def start(app: str | Path = "sample", state: str = "state", options: tuple[str, ...] = (), **env: str) -> Sample:
        log, state_dir = tmp_path / "sample.log", tmp_path / state
        settings = {"SAMPLE_LOG": str(log), "TICK_SCHEDULE": "0 0 0 1 1 *", **env}
        host = start_host(APPS / app, settings, state_dir=state_dir, options=options)
        hosts.append(host)
        return Sample(host, log, state_dir)

    yield start
    for host in reversed(hosts):
        host.stop()


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """One running sample app for all tests that leave it as it was."""
    base = tmp_path_factory.mktemp("sample")
    env = {"SAMPLE_LOG": str(base / "sample.log"), "TICK_SCHEDULE": "0 0 0 1 1 *"}
    with start_host(APPS / "sample", env, state_dir=base / "state") as host:
        yield Sample(host, base / "sample.log", base / "state")
