"""Child processes that must become ready before a deadline and never outlive their parent."""

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

T = TypeVar("T")
_POLL_S = 0.02
#: Lines of a child's log that an error shows.
_TAIL = 15
# Asks the kernel for SIGTERM when the parent dies, then becomes the program; PR_SET_PDEATHSIG is 1. Done by a launcher,
# for code between fork and exec is not safe in a process with threads.
_LAUNCHER = (
    "import ctypes, os, signal, sys\n"
    "ctypes.CDLL(None).prctl(1, signal.SIGTERM)\n"
    "os.getppid() == int(sys.argv[1]) or sys.exit(1)\n"
    "os.execvp(sys.argv[2], sys.argv[2:])\n"
)
_alive: "set[Child]" = set()


class ChildFailedError(Exception):
    """A child process ended early or was not ready in time; the message ends with the last lines of its log."""


class Child:
    """A started program, in a process group of its own.

    It is stopped by `stop()`, at the end of a `with` block, or at the latest when this process ends: normally through
    `atexit`, and on Linux also when this process is killed, provided that it was started from the main thread (the
    kernel ties the child to the *thread* that starts it).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path | None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start a program.

        Args:
            name: Its name in messages.
            command: Program and arguments.
            log: File for its output, overwritten; None to use this process's own output.
            env: Environment variables in addition to this process's.
            cwd: Its working directory.
        """
        self.name = name
        self.log = log
        argv = [str(part) for part in command]
        if sys.platform == "linux" and threading.current_thread() is threading.main_thread():
            argv = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *argv]
        if log:
            log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") if log else contextlib.nullcontext() as output:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
        _alive.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id, also that of its group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        """Return its output so far; "" without a log."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log and self.log.exists() else ""

    def wait_for(self, probe: Callable[[], T | None], timeout_s: float, what: str) -> T:
        """Call `probe` until it returns something other than None, and return that.

        Args:
            probe: Checks once, without blocking for long.
            timeout_s: Longest wait in seconds.
            what: What is waited for, for the error.

        Raises:
            ChildFailedError: The child ended, or time ran out; the child is stopped.
        """
        deadline = time.monotonic() + timeout_s
        while (answer := probe()) is None:
            if (code := self.exit_code) is not None:
                # Output written just before it ended may still contain the result.
                if (answer := probe()) is not None:
                    return answer
                self.stop()
                raise ChildFailedError(f"{self.name} ended with exit code {code} before {what}{self._tail()}")
            if time.monotonic() > deadline:
                self.stop()
                raise ChildFailedError(f"{self.name} was not ready within {timeout_s:.0f} s: no {what}{self._tail()}")
            time.sleep(_POLL_S)
        return answer

    def wait_for_end(self, timeout_s: float) -> int:
        """Wait until it ends by itself and return its exit code.

        Raises:
            subprocess.TimeoutExpired: It still runs after `timeout_s` seconds.
        """
        code = self._process.wait(timeout_s)
        _alive.discard(self)
        return code

    def stop(self, grace_s: float = 10.0) -> int:
        """Terminate it and return its exit code; after `grace_s` seconds it is killed with its process group."""
        _alive.discard(self)
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
        return self._process.wait()

    def kill(self) -> None:
        """Kill it at once with its process group, as a crash would."""
        _alive.discard(self)
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: int) -> None:
        # poll() first: once the process has been reaped, its id may belong to another.
        if self._process.poll() is None:
            self._process.send_signal(number)

    def _tail(self) -> str:
        lines = self.output().splitlines()[-_TAIL:]
        return "".join(f"\n  | {line}" for line in lines)


@atexit.register
def _stop_all() -> None:
    for child in list(_alive):
        child.stop(grace_s=3.0)
