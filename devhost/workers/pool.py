"""The host's side of worker processes: starts them, dispatches invocations, and replaces those that die.

As on the platform, every worker loads the whole app and the host has the triggers, so that what must happen one at a
time (a
timer, the operations of an entity, the messages of a session) does, whichever worker runs it. An invocation whose
worker dies
fails: its message is abandoned and delivered again, its batch of entity operations runs again, its request gets 500. If
a function
ignores the time limit because it never yields, its worker is killed.
"""

import asyncio
import contextlib
import itertools
import logging
import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from azure.functions.meta import Datum

from devhost.context import RetryContext
from devhost.errors import StartupError
from devhost.index import Function
from devhost.invoke import FunctionTimeoutError, Outcome, Running
from devhost.workers.wire import BUFFER, Cancel, Done, Invoke, Ready, Refused, Start, pack, receive, send

#: Seconds after the time limit that a worker gets to end an invocation by itself.
_OVERRUN_S = 2.0
#: Seconds a worker gets to end once the host has hung up.
_STOP_S = 3.0
#: A worker that lived as long as this (seconds) is replaced at once, another after a pause that grows.
_HEALTHY_S = 10.0
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.25, 10.0
#: Where the worker finds this package, whatever directory the host was started from.
_PACKAGES = str(Path(__file__).resolve().parents[2])
_log = logging.getLogger("devhost.workers")


class WorkerDiedError(Exception):
    """The process of an invocation ended before the invocation did."""


class WorkerFailureError(Exception):
    """A function's exception in its worker, as text; the worker has logged the rest."""


class _Worker:
    """One process, and the invocations it runs."""

    def __init__(self, process: asyncio.subprocess.Process, link: socket.socket) -> None:
        self.process = process
        self.started = time.monotonic()
        self.running: dict[int, asyncio.Future[Done]] = {}
        #: Set once it is to have no more work and what it ran has ended.
        self.retired = False
        self.done = asyncio.Event()
        self._link = link

    async def begin(self, start: Start) -> list[Function]:
        """Have the process load the app, and return the app's functions.

        Raises:
            StartupError: It cannot; the message says why.
        """
        self.reader, self.writer = await asyncio.open_connection(sock=self._link, limit=BUFFER)
        with contextlib.suppress(OSError):
            await send(self.writer, pack(start))
        answer = await receive(self.reader)
        if isinstance(answer, Ready):
            return answer.functions
        code = await self.process.wait()
        if isinstance(answer, Refused):
            raise StartupError(answer.reason)
        raise StartupError(f"A worker process ended with exit code {code} while it loaded the app; see above")

    async def read(self) -> None:
        """Receive results until the process has ended and all its output is read."""
        while isinstance(message := await receive(self.reader), Done):
            future = self.running.pop(message.number, None)
            if future and not future.done():
                future.set_result(message)

    def abandon(self) -> None:
        """Fail all invocations of the process."""
        for future in self.running.values():
            if not future.done():
                future.set_exception(WorkerDiedError(f"worker process {self.process.pid} died"))
        self.running.clear()

    def kill(self) -> None:
        """Kill the process."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    async def stop(self) -> None:
        """Close the connection, and wait a few seconds for the process to end."""
        self.writer.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.process.wait(), _STOP_S)
        self.kill()
        await self.process.wait()


class BusyError(Exception):
    """A process has died and is being replaced, or the number is being changed."""


class WorkerPool:
    """Dispatches invocations to worker processes, whose number can be changed.

    Attributes:
        count: How many there are to be.
    """

    def __init__(self, count: int, start: Start) -> None:
        """Create a pool; `start` starts it.

        Args:
            count: Number of processes.
            start: The message that each process gets first.
        """
        self.count = count
        self._start = start
        self._workers: list[_Worker] = []
        self._keepers: set[asyncio.Task[None]] = set()
        self._retiring: dict[asyncio.Task[None], _Worker] = {}
        self._changing = asyncio.Lock()
        self._numbers = itertools.count()
        self._running = Running()
        self._ready = asyncio.Condition()

    async def start(self) -> list[Function]:
        """Start every process, and return the app's functions once all have loaded it.

        Raises:
            StartupError: One cannot load it; the message says why, and all are ended.
        """
        return await self._add(self.count)

    async def resize(self, count: int) -> None:
        """Have so many processes: more are started, those that are too many end once what they run has ended.

        Raises:
            BusyError: One is just being replaced, or the number is being changed.
            StartupError: Another one cannot be started; the number stays as it was.
        """
        if self._changing.locked() or len(self._workers) != self.count:
            raise BusyError("A worker process is being started; try again in some seconds.")
        async with self._changing:
            if count > self.count:
                await self._add(count - self.count)
            else:
                for worker in self._workers[count:]:
                    self._workers.remove(worker)
                    task = asyncio.create_task(self._retire(worker))
                    self._retiring[task] = worker
                    task.add_done_callback(lambda done: self._retiring.pop(done, None))
            self.count = count
        _log.warning("%d worker processes run the functions", count)

    async def _retire(self, worker: _Worker) -> None:
        """Let what a process runs end, then end it."""
        worker.retired = True
        if worker.running:
            await worker.done.wait()
        await worker.stop()

    async def _add(self, count: int) -> list[Function]:
        """Start so many processes, and return the app's functions once all have loaded it."""
        made = [await self._spawn() for _ in range(count)]
        loads = await asyncio.gather(*(worker.begin(self._start) for worker in made), return_exceptions=True)
        for failure in loads:
            if isinstance(failure, BaseException):
                for worker in made:
                    worker.kill()
                    await worker.process.wait()
                raise failure
        for worker in made:
            self._workers.append(worker)
            keeper = asyncio.create_task(self._keep(worker))
            self._keepers.add(keeper)
            keeper.add_done_callback(self._keepers.discard)
        return next(iter(loads))  # pyright: ignore[reportReturnType] - none has failed

    async def drain(self, timeout_s: float) -> int:
        """Wait for running invocations, at most `timeout_s` seconds, and return how many are left."""
        return await self._running.drain(timeout_s)

    async def aclose(self) -> None:
        """End every process."""
        left = [*self._workers, *self._retiring.values()]
        tasks = [*self._keepers, *self._retiring]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in left), return_exceptions=True)
        self._workers.clear()

    async def invoke(
        self,
        function: Function,
        value: Datum,
        *,
        metadata: Mapping[str, Datum] | None = None,
        trace_parent: str | None = None,
        trace_state: str = "",
        retry: RetryContext | None = None,
        about: str = "",
        quiet: bool = False,
    ) -> Outcome:
        """Run a function once, in the process with the fewest invocations; see Invoker.invoke."""
        order = Invoke(
            number=next(self._numbers),
            function=function.name,
            value=value,
            metadata=metadata or {},
            trace_parent=trace_parent,
            trace_state=trace_state,
            retry=(retry.retry_count, retry.max_retry_count) if retry else (0, 0),
            about=about,
            quiet=quiet,
        )
        data = pack(order)
        with self._running:
            if not self._workers:
                async with self._ready:
                    await self._ready.wait_for(lambda: bool(self._workers))
            worker = min(self._workers, key=lambda each: len(each.running))
            try:
                return _outcome(await self._ask(worker, order.number, data))
            except WorkerDiedError as error:
                _log.error("%s: failed because its worker process died (%s)", function.name, about)
                return Outcome(error=error)

    async def _ask(self, worker: _Worker, number: int, data: bytes) -> Done:
        answer = asyncio.get_running_loop().create_future()
        worker.running[number] = answer
        limit_s = self._start.timeout_s
        try:
            async with asyncio.timeout(None if limit_s is None else limit_s + _OVERRUN_S):
                await _send_if_alive(worker, data)
                return await answer
        except TimeoutError:
            _log.error("Worker process %d does not answer and is replaced", worker.process.pid)
            worker.kill()
            return Done(number=number, error=f"exceeded the functionTimeout of {limit_s} s", timed_out=True)
        except asyncio.CancelledError:
            if worker.running.pop(number, None) is not None:
                await _send_if_alive(worker, pack(Cancel(number)))
            raise
        finally:
            worker.running.pop(number, None)
            if worker.retired and not worker.running:
                worker.done.set()

    async def _spawn(self) -> _Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            path = os.pathsep.join(filter(None, (_PACKAGES, os.environ.get("PYTHONPATH"))))
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "devhost.workers.child", str(theirs.fileno()), str(os.getpid()),
                stdin=asyncio.subprocess.DEVNULL, pass_fds=(theirs.fileno(),), env={**os.environ, "PYTHONPATH": path},
            )  # fmt: skip
        return _Worker(process, ours)

    async def _keep(self, worker: _Worker) -> None:
        """Whenever a process ends, fail its invocations and start another one in its place."""
        backoff_s = _FIRST_BACKOFF_S
        while True:
            reading = asyncio.create_task(worker.read())
            try:
                code = await worker.process.wait()
                # Its last results may still be in the pipe; a process it has forked may hold the other end open.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reading, 0.5)
            finally:
                reading.cancel()
            if worker in self._workers:
                self._workers.remove(worker)
            worker.abandon()
            worker.writer.close()
            if worker.retired:
                return
            if time.monotonic() - worker.started > _HEALTHY_S:
                backoff_s = _FIRST_BACKOFF_S
            _log.error("Worker process %d ended with exit code %d; starting another", worker.process.pid, code)
            while (started := await self._replacement()) is None:
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)
            worker = started

    async def _replacement(self) -> _Worker | None:
        worker = await self._spawn()
        try:
            await worker.begin(self._start)
        except StartupError as error:
            _log.error("A worker process could not be started: %s", error)
            return None
        except asyncio.CancelledError:
            worker.kill()
            raise
        async with self._ready:
            self._workers.append(worker)
            self._ready.notify_all()
        return worker


async def _send_if_alive(worker: _Worker, data: bytes) -> None:
    """Send a message; if the process has ended, the task that watches it fails its invocations."""
    with contextlib.suppress(OSError):
        await send(worker.writer, data)


def _outcome(done: Done) -> Outcome:
    if done.timed_out:
        return Outcome(error=FunctionTimeoutError(done.error))
    if done.error is not None:
        return Outcome(error=WorkerFailureError(done.error))
    return Outcome(value=done.value, outputs=done.outputs)
