"""Processes in which checks of answers run: started when first needed, reused, and killed when a check is too slow.

Processes are needed because a check cannot be interrupted otherwise: a `re` pattern, or any loop in C, blocks the
interpreter. Calls go to `adapters.check_process_main` as length-prefixed pickles, and results come back as JSON, so
that nothing is unpickled here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import pickle
import struct
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import IO

from lifecycle.evaluation.checks import Call, CheckFailed, TooSlow
from llmops.evaluation.combined_score import Part

log = logging.getLogger(__name__)

_START_S = 30.0
"""How long a process may take to start, in seconds."""
_CLOSING = "the app is closing"
_LENGTH = struct.Struct(">I")


class CheckProcessPool:
    """At most `most` processes, each making one call at a time; further calls wait, at most as long as one may take.

    It implements `lifecycle.evaluation.checks.CheckProcesses`.
    """

    def __init__(self, most: int) -> None:
        """Set the largest number of processes."""
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="checks")
        self._end = weakref.finalize(self, _end, self._threads, self._all)

    @property
    def started(self) -> int:
        """Number of running processes."""
        return len(self._all)

    async def run(self, call: Call, limit: timedelta) -> Part:
        """Return the result of the check.

        Raises:
            CheckFailed: There is none: it was too slow (`TooSlow`), its process died, or no process was available.
        """
        try:
            future = self._threads.submit(self._run, call, limit.total_seconds(), time.monotonic())
        except RuntimeError as error:
            raise CheckFailed(_CLOSING) from error
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise CheckFailed(_CLOSING) from None  # the pool was closed, rather than the caller cancelled

    async def aclose(self) -> None:
        """End the processes; calls that are under way fail."""
        await asyncio.to_thread(self._end)

    def _run(self, call: Call, limit_s: float, asked: float) -> Part:
        if time.monotonic() - asked > limit_s:
            msg = "other checks took all the time there was"
            raise CheckFailed(msg)
        process = self._taken()
        try:
            part = process.call(call, limit_s)
        except BaseException:
            self._all.discard(process)
            process.end()
            raise
        self._idle.append(process)
        return part

    def _taken(self) -> _Process:
        with contextlib.suppress(IndexError):
            while True:
                process = self._idle.pop()
                if process.alive:
                    return process
                self._all.discard(process)
                process.end()
        process = _Process()
        self._all.add(process)
        try:
            if not self._end.alive:  # closed meanwhile: nobody else would end this process
                raise CheckFailed(_CLOSING)  # noqa: TRY301 - ended below, like one that does not start
            process.wait_until_ready()
        except BaseException:
            self._all.discard(process)
            process.end()
            raise
        return process


class _Process:
    """A check process, used by one thread at a time."""

    def __init__(self) -> None:
        path = os.pathsep.join(filter(None, sys.path))
        try:
            self._popen = subprocess.Popen(  # noqa: S603 - a module beside this one
                [sys.executable, "-m", f"{__package__}.check_process_main"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C in the terminal is for the app, which then ends its processes
            )
        except OSError as error:
            log.exception("no process for checks", extra={"event": "evaluation.no_process"})
            msg = "no process could be started for it"
            raise CheckFailed(msg) from error

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def wait_until_ready(self) -> None:
        if self._limited(_START_S, b"") != b"ready":
            msg = "its process did not start"
            raise CheckFailed(msg)

    def call(self, call: Call, limit_s: float) -> Part:
        try:
            request = pickle.dumps((call, limit_s))
        except Exception as error:
            msg = f"it cannot be passed to another process ({type(error).__name__})"
            raise CheckFailed(msg) from error
        reply = self._limited(limit_s, _LENGTH.pack(len(request)) + request)
        if reply is None:
            msg = f"the check took longer than {limit_s:g} s"
            raise TooSlow(msg)
        if not reply:
            msg = "the process of the check died"
            raise CheckFailed(msg)
        value, reason = json.loads(reply)
        return Part(call.name, value, reason)

    def end(self) -> None:
        """Kill the process and wait for its exit; calling it again does nothing."""
        self._popen.kill()
        for pipe in (self._popen.stdin, self._popen.stdout):
            with contextlib.suppress(OSError, ValueError):
                _there(pipe).close()
        self._popen.wait()

    def _limited(self, limit_s: float, request: bytes) -> bytes | None:
        """Send the request and return the reply: empty if the process died, None if the time limit passed."""
        late = threading.Event()

        def kill() -> None:
            late.set()
            self._popen.kill()

        timer = threading.Timer(limit_s, kill)
        timer.daemon = True
        timer.start()
        try:
            stdin, stdout = _there(self._popen.stdin), _there(self._popen.stdout)
            stdin.write(request)
            stdin.flush()
            head = stdout.read(_LENGTH.size)
            reply = stdout.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else b""
        except (OSError, ValueError):
            reply = b""
        finally:
            timer.cancel()
        return None if late.is_set() else reply


def _there(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        msg = "no pipe"
        raise ValueError(msg)
    return pipe


def _end(threads: ThreadPoolExecutor, processes: set[_Process]) -> None:
    threads.shutdown(wait=False, cancel_futures=True)
    for process in list(processes):
        process.end()
