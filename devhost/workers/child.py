"""`python -m devhost.workers.child FD PARENT`: one worker process, started by the host only."""

import asyncio
import ctypes
import dataclasses
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from devhost import http_extension
from devhost.console import configure_logging
from devhost.context import RetryContext
from devhost.errors import StartupError
from devhost.index import Function, load_app, unloaded
from devhost.invoke import FunctionTimeoutError, Invoker
from devhost.workers.wire import BUFFER, Cancel, Done, Invoke, Message, Ready, Refused, Start, pack, receive, send

#: Seconds the process may take to end once the host has hung up; an app's own threads may never end.
_EXIT_S = 2.0
_log = logging.getLogger("devhost.workers")


class Worker:
    """Runs the invocations that the host sends, each in a task of its own."""

    def __init__(self, functions: list[Function], invoker: Invoker, writer: asyncio.StreamWriter) -> None:
        self._functions = {function.name: function for function in functions}
        self._invoker = invoker
        self._writer = writer
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Serve until the host closes the connection."""
        while (message := await receive(reader)) is not None:
            if isinstance(message, Invoke):
                task = asyncio.create_task(self._run(message))
                self._tasks[message.number] = task
                task.add_done_callback(lambda _, number=message.number: self._tasks.pop(number, None))
            elif isinstance(message, Cancel) and (task := self._tasks.get(message.number)):
                task.cancel()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _run(self, order: Invoke) -> None:
        outcome = await self._invoker.invoke(
            self._functions[order.function],
            order.value,
            metadata=order.metadata,
            trace_parent=order.trace_parent,
            trace_state=order.trace_state,
            retry=RetryContext(*order.retry),
            about=order.about,
            quiet=order.quiet,
        )
        error, value = outcome.error, outcome.value
        if outcome.stream is not None:  # between processes, a response is sent when it is complete
            try:
                value = await http_extension.collected(outcome.stream)
            except Exception as failure:  # noqa: BLE001 - a worker outlives every failure of its functions
                error = failure
        done = Done(
            number=order.number,
            error=None if error is None else f"{type(error).__name__}: {error}",
            timed_out=isinstance(error, FunctionTimeoutError),
            value=value,
            outputs=outcome.outputs,
        )
        try:
            data = pack(done)
        except TypeError as failure:
            _log.error("%s: %s", order.function, failure)
            data = pack(Done(number=order.number, error=str(failure)))
        await send(self._writer, data)


def without_code(function: Function) -> Function:
    """Return a function's descriptor without its code."""
    return dataclasses.replace(function, call=unloaded)


async def _serve(link: socket.socket) -> int:
    reader, writer = await asyncio.open_connection(sock=link, limit=BUFFER)
    start: Any = await receive(reader)
    if not isinstance(start, Start):
        return 1
    configure_logging(verbose=start.verbose)
    try:
        functions = load_app(Path(start.root))
    except StartupError as error:
        await send(writer, pack(Refused(str(error))))
        return 2
    ready: Message = Ready([without_code(function) for function in functions])
    await send(writer, pack(ready))
    invoker = Invoker(timeout_s=start.timeout_s, client_value=start.client_value)
    await Worker(functions, invoker, writer).serve(reader)
    invoker.close()
    # The SDK's client keeps an HTTP session for the life of the process and never closes it.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    return 0


def main() -> int:
    """Run the worker and return the exit code."""
    number, parent = int(sys.argv[1]), int(sys.argv[2])
    # Ctrl-C reaches the whole process group; the host ends its workers in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: ends the worker when the host is killed
        if os.getppid() != parent:
            return 1
    os.set_inheritable(number, False)
    try:
        return asyncio.run(_serve(socket.socket(fileno=number)))
    finally:
        last_resort = threading.Timer(_EXIT_S, os._exit, [0])
        last_resort.daemon = True
        last_resort.start()


if __name__ == "__main__":
    sys.exit(main())
