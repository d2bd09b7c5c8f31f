"""Running user functions: conversion of arguments, outcome, and one log line per invocation.

The line of a request reads `POST /api/orders: 201 in 12 ms (add_order)`, that of any other invocation `add_order:
succeeded in 12 ms (its cause)`; successful messages are logged only in verbose mode. The line of a failure ends with
the error; the traceback follows only the first time that a function fails at that place, because a message is delivered
up to ten times.
"""

import asyncio
import concurrent.futures.thread
import contextlib
import contextvars
import logging
import os
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

import azure.functions as func
from azure.functions.meta import Datum

from devhost import http_extension
from devhost.context import QUIET, THREAD_LOCAL, Context, RetryContext, TraceContext, child_trace_parent
from devhost.index import HTTP, SERVICE_BUS, Function

_HOST_FILES = {__file__, concurrent.futures.thread.__file__}
_log = logging.getLogger("devhost.invoke")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of an invocation."""

    #: What the function failed with; None means success.
    error: BaseException | None = None
    #: The encoded return value, None if the function has no `$return`.
    value: Datum | None = None
    #: Encoded `func.Out` values by parameter.
    outputs: Mapping[str, Datum] = field(default_factory=dict)
    #: A response that is yet to be written; None for one that is whole.
    stream: Any = None

    @property
    def response(self) -> Datum | None:
        """The response of an HTTP function; None if there is none."""
        return self.value or next(iter(self.outputs.values()), None)

    @property
    def status(self) -> int:
        """The HTTP status of an HTTP function's response; text is 200, no value 204."""
        if self.stream is not None:
            return self.stream.status_code
        value = self.response
        if value is None or value.type is None:
            return 204
        return int(value.value["status_code"].value) if value.type == "http" else 200


class FunctionTimeoutError(TimeoutError):
    """A function ran longer than host.json's `functionTimeout`."""


class Dispatcher(Protocol):
    """Runs the invocations of triggers: in this process, or in worker processes."""

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
        """Execute a function once; see Invoker.invoke."""
        ...

    async def drain(self, timeout_s: float) -> int:
        """Wait for running invocations, at most `timeout_s` seconds, and return how many are left."""
        ...

    async def aclose(self) -> None:
        """Abandon what still runs, and release all resources."""
        ...


class Running:
    """Counts work in progress; a context manager around each piece of work."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __enter__(self) -> None:
        self._count += 1
        self._idle.clear()

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if not self._count:
            self._idle.set()

    async def drain(self, timeout_s: float) -> int:
        """Wait until nothing is in progress, at most `timeout_s` seconds, and return how much is left."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        return self._count


class Out(func.Out[Any]):
    """The holder of an output parameter's value."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: Any) -> None:
        """Set the value."""
        self._value = val

    def get(self) -> Any:
        """Return the value, None if never set."""
        return self._value


class Invoker:
    """Runs functions as the Python worker does: coroutines on the event loop, plain functions in a thread pool."""

    def __init__(self, *, timeout_s: float | None, client_value: str = "") -> None:
        """Create an invoker.

        Args:
            timeout_s: Longest run of one invocation in seconds; None for no limit.
            client_value: The `durableClient` binding's JSON.
        """
        threads = int(os.environ.get("PYTHON_THREADPOOL_THREAD_COUNT") or min(32, (os.cpu_count() or 1) + 4))
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="function")
        self._timeout_s = timeout_s
        self._client_value = client_value
        self._running = Running()
        self._traced: set[tuple[str, str, str, int]] = set()

    async def drain(self, timeout_s: float) -> int:
        """Wait for running invocations, at most `timeout_s` seconds, and return how many are left."""
        return await self._running.drain(timeout_s)

    async def aclose(self) -> None:
        """Close the invoker."""
        self.close()

    def close(self) -> None:
        """Close the thread pool without waiting for threads that still run."""
        self._pool.shutdown(wait=False, cancel_futures=True)

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
        """Execute a function once.

        A function that exceeds the time limit is abandoned with a FunctionTimeoutError; a thread cannot be stopped, so
        a plain function continues in the background (the real host would restart its worker).

        Args:
            function: The function.
            value: The trigger's value.
            metadata: The trigger's metadata, by the host's own names.
            trace_parent: The caller's W3C `traceparent`.
            trace_state: The caller's W3C `tracestate`.
            retry: The position in the retry policy, for functions that have one.
            about: Its cause, for the log; for HTTP the method and path.
            quiet: Log only problems unless verbose, as for scheduled timers.
        """
        trace = TraceContext(child_trace_parent(trace_parent), trace_state)
        context = Context(function.name, function.directory, str(uuid.uuid4()), trace, retry or RetryContext())
        _log.debug("%s: started (%s; id %s)", function.name, about, context.invocation_id)
        started = time.perf_counter()
        with self._running:
            token = QUIET.set(quiet)
            try:
                outcome = await self._attempt(function, value, metadata or {}, context)
            finally:
                QUIET.reset(token)
        self._tell(function, outcome, about, round((time.perf_counter() - started) * 1000), quiet=quiet)
        return outcome

    def _tell(self, function: Function, outcome: Outcome, about: str, took_ms: int, *, quiet: bool) -> None:
        is_http = function.type == HTTP
        subject, remark = (about, function.name) if is_http else (function.name, about)
        remark = f" ({remark})" if remark else ""
        error = outcome.error
        if error is None:
            ended = str(outcome.status) if is_http else "succeeded"
            # The app logs the outcome of a message itself; a second line of the host would repeat it.
            level = logging.DEBUG if quiet or function.type == SERVICE_BUS else logging.INFO
            _log.log(level, "%s: %s in %d ms%s", subject, ended, took_ms, remark)
            return
        trace = _from_user_code(error.__traceback__)
        place = _place(function, error)
        is_new = place not in self._traced
        self._traced.add(place)
        _log.error(
            "%s: failed in %d ms%s: %s",
            subject,
            took_ms,
            remark,
            " ".join(f"{type(error).__name__}: {error}".split()),
            exc_info=error.with_traceback(trace) if is_new or _log.isEnabledFor(logging.DEBUG) else None,
        )

    async def _attempt(
        self, function: Function, value: Datum, metadata: Mapping[str, Datum], context: Context
    ) -> Outcome:
        limit = asyncio.timeout(self._timeout_s)
        try:
            arguments = self._arguments(function, value, metadata)
            if function.wants_context:
                arguments["context"] = context
            async with limit:
                result = await self._run(function, arguments, context.invocation_id)
            return self._outcome(function, arguments, result)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return Outcome(error=RuntimeError("the function raised CancelledError"))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a host outlives every failure of its functions
            if limit.expired():
                return Outcome(error=FunctionTimeoutError(f"exceeded the functionTimeout of {self._timeout_s} s"))
            return Outcome(error=error)

    def _arguments(self, function: Function, value: Datum, metadata: Mapping[str, Datum]) -> dict[str, Any]:
        arguments: dict[str, Any] = {name: Out() for name in function.outputs}
        for name, converter in function.converters.items():
            is_trigger = name == function.trigger_param
            datum = value if is_trigger else Datum(self._client_value, "string")
            if converter == "generic":
                arguments[name] = datum.value
            elif is_trigger and function.type == HTTP and http_extension.loaded():
                arguments[name] = http_extension.request_of(datum)
            else:
                arguments[name] = _converter(converter).decode(datum, trigger_metadata=metadata if is_trigger else {})
        return arguments

    async def _run(self, function: Function, arguments: dict[str, Any], invocation_id: str) -> Any:
        THREAD_LOCAL.invocation_id = invocation_id
        if function.is_async:
            return await function.call(**arguments)
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._pool, lambda: context.run(_in_thread, function.call, arguments, invocation_id)
        )

    def _outcome(self, function: Function, arguments: Mapping[str, Any], result: Any) -> Outcome:
        if result is not None and function.returns is None:
            raise RuntimeError(f"function {function.name!r} without a $return binding returned a non-None value")
        if http_extension.is_response(result):
            return Outcome(stream=result)
        outputs = {name: _encode("http", arguments[name].get()) for name in function.outputs if arguments[name].get()}
        if function.returns is None:
            return Outcome(outputs=outputs)
        return Outcome(value=_encode(function.returns, result), outputs=outputs)


def _converter(kind: str) -> Any:
    return func.get_binding_registry().get(kind)


def _encode(kind: str, value: Any) -> Datum:
    try:
        return _converter(kind).encode(value, expected_type=None)
    except NotImplementedError:
        # As in the worker: None for an HTTP response is an error too.
        raise TypeError(f"{type(value).__name__!r} cannot be the value of a binding of type {kind!r}") from None


def _from_user_code(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback without the host's own leading frames; unchanged if there is nothing else."""
    shown = trace
    while shown and shown.tb_frame.f_code.co_filename in _HOST_FILES:
        shown = shown.tb_next
    return shown or trace


def _place(function: Function, error: BaseException) -> tuple[str, str, str, int]:
    """Return the key of a kind of failure: the function, the error's type, and where it was raised."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    file, line = (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace else ("", 0)
    return function.name, type(error).__name__, file, line


def _in_thread(call: Any, arguments: dict[str, Any], invocation_id: str) -> Any:
    THREAD_LOCAL.invocation_id = invocation_id
    return call(**arguments)
