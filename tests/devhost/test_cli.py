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

from devhost.services import PROJECT

APPS = Path(__file__).parent / "apps"


def _run(*options: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devhost", *map(str, options)]
    return subprocess.run(
        command, cwd=PROJECT, env={**os.environ, **env}, capture_output=True, text=True, timeout=30, check=False
    )


def test_tells_of_its_functions_and_readiness(sample: Any) -> None:
    """It lists HTTP functions with methods and URL, the others with their trigger, then says that it is ready."""
    log = sample.host_log()
    assert f"  echo: [GET,POST] {sample.host.url}/api/echo/{{id:int}}/{{op?}}" in log
    assert "  counter: entityTrigger" in log
    assert f"Host ready on {sample.host.url}" in log
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
    time.sleep(0.3)

    os.kill(app.host.child.pid, signal.SIGINT)
    request.join(10)

    assert answers[0].status == 200
    assert app.host.child.wait_for_end(10) == 0


def test_a_second_ctrl_c_ends_at_once(launch: Callable[..., Any]) -> None:
    """Nobody has to wait for a slow function twice."""
    app = launch()
    request = threading.Thread(target=lambda: _ignore(lambda: app.call("GET", "/api/slow?s=60")))
    request.start()
    time.sleep(0.3)
    begun = time.monotonic()

    os.kill(app.host.child.pid, signal.SIGINT)
    time.sleep(0.2)
    os.kill(app.host.child.pid, signal.SIGINT)
    code = app.host.child.wait_for_end(5)

    assert code == 130
    assert time.monotonic() - begun < 3
    request.join(10)


def _ignore(call: Callable[[], Any]) -> None:
    with contextlib.suppress(OSError):
        call()
