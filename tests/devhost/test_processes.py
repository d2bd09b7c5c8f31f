"""Child processes: ready before a deadline, gone with their parent."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devhost.processes import Child, ChildFailedError
from devhost.services import PROJECT
from tests.waiting import QUIET_S


def _child(tmp_path: Path, code: str) -> Child:
    return Child("helper", [sys.executable, "-u", "-c", textwrap.dedent(code)], log=tmp_path / "helper.log")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_waits_until_it_is_ready(tmp_path: Path) -> None:
    """A probe sees what the child writes; the block's end stops the child."""
    with _child(tmp_path, "import time; time.sleep(0.1); print('port 7'); time.sleep(60)") as child:
        answer = child.wait_for(lambda: "port 7" if "port 7" in child.output() else None, QUIET_S, "its port")
        assert child.exit_code is None

    assert answer == "port 7"
    assert not _runs(child.pid)


def test_an_early_end_shows_the_log(tmp_path: Path) -> None:
    """A child that ends before it is ready is an error that says what it wrote and how it ended."""
    child = _child(tmp_path, "import sys; sys.exit('the disk is full')")

    with pytest.raises(ChildFailedError, match=r"(?s)helper ended with exit code 1 before its port.*the disk is full"):
        child.wait_for(lambda: None, QUIET_S, "its port")


def test_a_deadline_stops_the_child(tmp_path: Path) -> None:
    """A child that is never ready does not stay behind."""
    child = _child(tmp_path, "import time; time.sleep(60)")

    with pytest.raises(ChildFailedError, match="not ready within 0 s"):
        child.wait_for(lambda: None, 0.2, "its port")
    assert not _runs(child.pid)


def test_a_child_that_ignores_termination_is_killed(tmp_path: Path) -> None:
    """stop() is bounded."""
    child = _child(
        tmp_path, "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(60)"
    )
    child.wait_for(lambda: child.output() or None, QUIET_S, "its word")

    assert child.stop(grace_s=0.2) == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child to its parent's death")
def test_children_die_with_a_killed_parent(tmp_path: Path, eventually: Callable[..., Any]) -> None:
    """A parent that is killed leaves no child behind."""
    code = f"""
        import sys, time
        from pathlib import Path
        from devhost.processes import Child
        command = [sys.executable, "-c", "import time; time.sleep(60)"]
        child = Child("grandchild", command, log=Path({str(tmp_path / "g.log")!r}))
        print(child.pid, flush=True)
        time.sleep(60)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent.stdout:
        grandchild = int(parent.stdout.readline())
    assert _runs(grandchild)

    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()

    eventually(lambda: not _runs(grandchild))
