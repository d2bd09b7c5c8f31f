"""The command line: readiness, refusals, and a clean end."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devhost.errors import StartupError
from devhost.ports import bind
from devhost.services import PROJECT
from tests.waiting import QUIET_S

APPS = Path(__file__).parent / "apps"


def _run(*options: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devhost", *map(str, options)]
    return subprocess.run(
        command, cwd=PROJECT, env={**os.environ, **env}, capture_output=True, text=True, timeout=QUIET_S, check=False
    )


def test_tells_of_its_functions_and_readiness(sample: Any) -> None:
    """It lists its functions in groups, HTTP ones by route with methods, then says that it is ready."""
    lines = sample.host_log().splitlines()
    listed = [line.strip() for line in lines]
    assert f"HTTP (10), below {sample.host.url}/api" in listed
    assert (
        lines.index("  counters")
        < lines.index("  echo")
        < lines.index("Timers (2)")
        < lines.index("Durable entities (1)")
    )
    assert "GET,POST  /echo/{id:int}/{op?}  echo" in listed
    assert lines[lines.index("Durable entities (1)") + 1].split() == ["counter", "Counter"]
    assert f"Host ready on {sample.host.url}" in listed
    assert json.loads((sample.state / "ready.json").read_text()) == {
        "url": sample.host.url,
        "pid": sample.host.child.pid,
    }


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    """The line names the port and the option, and the exit code is 2."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        result = _run("--root", APPS / "sample", "--port", str(port), "--rpc-port", "0", "--state", tmp_path)

    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert f"Port {port} is already in use" in result.stderr
    assert "--port" in result.stderr


@pytest.mark.parametrize("port", [65_536, -1])
def test_a_number_that_is_no_port_is_said(port: int) -> None:
    """Before anything starts, as for a port that is taken."""
    with pytest.raises(StartupError, match=f"port {port}: ports are numbers up to 65535"):
        bind("127.0.0.1", port, "--port")


def test_a_missing_setting_is_one_clear_line(tmp_path: Path) -> None:
    """The line names the function and the setting."""
    result = _run("--root", APPS / "bus", "--port", "0", "--state", tmp_path, Bus="Endpoint=sb://localhost")

    last = result.stderr.splitlines()[-1]
    assert result.returncode == 2
    assert last.startswith("devhost: Function 'of_session'")
    assert "'SESSION_QUEUE'" in last


def test_two_hosts_do_not_share_their_state(sample: Any) -> None:
    """A second host over the same state directory refuses to start: it would run every signal twice."""
    result = _run(
        "--root",
        APPS / "sample",
        "--port",
        "0",
        "--rpc-port",
        "0",
        "--state",
        sample.state,
        TICK_SCHEDULE="0 0 * * * *",
    )

    assert result.returncode == 2
    assert "in use by another host" in result.stderr


def test_ctrl_c_lets_running_invocations_finish(launch: Callable[..., Any], eventually: Callable[..., Any]) -> None:
    """A request that is running gets its answer, then the host ends with 0."""
    app = launch()
    answers: list[Any] = []
    request = threading.Thread(target=lambda: answers.append(app.call("GET", "/api/slow?s=1")))
    request.start()
    eventually(lambda: app.notes(event="slow"))

    os.kill(app.host.child.pid, signal.SIGINT)
    request.join(QUIET_S)

    assert answers[0].status == 200
    assert app.host.child.wait_for_end(QUIET_S) == 0


def test_a_second_ctrl_c_ends_at_once(launch: Callable[..., Any], eventually: Callable[..., Any]) -> None:
    """Nobody has to wait for a slow function twice."""
    app = launch()
    request = threading.Thread(target=lambda: _ignore(lambda: app.call("GET", "/api/slow?s=3600")))
    request.start()
    eventually(lambda: app.notes(event="slow"))

    os.kill(app.host.child.pid, signal.SIGINT)
    time.sleep(0.2)  # two signals at once are one
    os.kill(app.host.child.pid, signal.SIGINT)
    code = app.host.child.wait_for_end(QUIET_S)

    assert code == 130
    request.join(QUIET_S)


def _ignore(call: Callable[[], Any]) -> None:
    with contextlib.suppress(OSError):
        call()


def test_an_idle_host_is_quiet(launch: Callable[..., Any], eventually: Callable[..., Any]) -> None:
    """A timer that runs every second and logs leaves no line, only word of how to see more; --verbose shows all."""
    quiet = launch(TICK_SCHEDULE="* * * * * *")
    eventually(lambda: len(quiet.notes(event="tick")) >= 2)
    log = quiet.host_log()
    quiet.host.stop()
    verbose = launch(options=("--verbose",), TICK_SCHEDULE="* * * * * *")

    eventually(lambda: "tick: succeeded in" in verbose.host_log())
    assert "the tick tells of itself" in verbose.host_log()
    assert "--verbose also logs the runs" in log
    assert "--verbose shows" not in verbose.host_log()
    assert not [line for line in log.splitlines() if line.startswith("[")]


@pytest.mark.parametrize(("count", "from_settings"), [("0", False), ("11", False), ("two", True), ("-1", True)])
def test_a_senseless_number_of_workers_is_one_clear_line(tmp_path: Path, count: str, from_settings: bool) -> None:
    """The line names what is wrong and what it may be, whether it was an option or a setting."""
    setting = {"FUNCTIONS_WORKER_PROCESS_COUNT": count} if from_settings else {}
    options = () if from_settings else ("--workers", count)

    result = _run("--root", APPS / "sample", "--port", "0", "--rpc-port", "0", "--state", tmp_path, *options, **setting)

    assert result.returncode == 2
    assert "must be a whole number from 1 to 10" in result.stderr
