"""What tests of traces and metrics share: a recorder of spans, and the app's own functions run in this process."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import azure.durable_functions as df
import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusClient
from opentelemetry import trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from adapters.memory_tables import MemoryTables
from adapters.service_bus import ServiceBusQueue
from adapters.service_bus_clients import by_connection_string
from adapters.telemetry import ExceptionTextFilter
from bootstrap.services import Services
from devhost import datums
from devhost.durable.protocol import client_binding
from devhost.index import index_functions
from devhost.invoke import Invoker, Outcome
from devhost.servicebus_message import trace_parent, trigger_value
from devhost.services import ServiceBus, start_service_bus
from tests.e2e.support import QUEUE, topology
from tests.fakes.openai_server import FakeOpenAI
from tests.lifecycle.doubles import quick_settings
from tests.servicebus.support import shorten_sdk_polls
from triggers import queue
from triggers.http import agents, runs, system
from triggers.http.request_handling import Api


@pytest.fixture(autouse=True)
def _impatient_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_sdk_polls(monkeypatch)


@dataclass
class Recorder(SpanProcessor, LogRecordProcessor):
    """Keeps spans and log records while it is on; providers are set once per process, so it outlives its tests."""

    on: bool = False
    spans: list[ReadableSpan] = field(default_factory=list[ReadableSpan])
    logs: list[ReadWriteLogRecord] = field(default_factory=list[ReadWriteLogRecord])

    def on_end(self, span: ReadableSpan) -> None:
        if self.on:
            self.spans.append(span)

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        if self.on:
            self.logs.append(log_record)

    def shutdown(self) -> None:
        self.on = False

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True

    def named(self, name: str) -> ReadableSpan:
        """Return the one span of the name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def tree(self, trace_id: int) -> list[str]:
        """Return the names of a trace's spans, indented below their parents, in the order they started."""
        mine = sorted((s for s in self.spans if _context(s).trace_id == trace_id), key=lambda s: s.start_time or 0)
        known = {_context(span).span_id for span in mine}
        lines: list[str] = []

        def add(span: ReadableSpan, depth: int) -> None:
            lines.append("  " * depth + span.name)
            for child in mine:
                if child.parent is not None and child.parent.span_id == _context(span).span_id:
                    add(child, depth + 1)

        for span in mine:
            if span.parent is None or span.parent.span_id not in known:
                add(span, 0)
        return lines

    def text(self) -> str:
        """Return all that was recorded, as it would be exported."""
        return "".join(span.to_json() for span in self.spans) + "".join(str(log.log_record.body) for log in self.logs)


def _context(span: ReadableSpan) -> Any:
    return span.get_span_context()


@pytest.fixture(scope="session")
def _recorder() -> Recorder:
    recorder = Recorder()
    tracing = TracerProvider()
    tracing.add_span_processor(ExceptionTextFilter())
    tracing.add_span_processor(recorder)
    trace.set_tracer_provider(tracing)
    logs = LoggerProvider()
    logs.add_log_record_processor(recorder)
    set_logger_provider(logs)
    return recorder


@pytest.fixture
def recorder(_recorder: Recorder) -> Iterator[Recorder]:
    """Record the spans and log records of one test."""
    handler = LoggingHandler(level=logging.INFO)
    logging.getLogger().addHandler(handler)
    _recorder.on = True
    yield _recorder
    _recorder.on = False
    logging.getLogger().removeHandler(handler)
    _recorder.spans.clear()
    _recorder.logs.clear()


class Functions:
    """The app's functions over tables in memory, a real queue and a model server, run as the host runs them."""

    def __init__(self, services: Services, run_queue: ServiceBusQueue, client: ServiceBusClient) -> None:
        self.services = services
        self._client = client
        signals = services.agents.local_signals()
        api = Api(services.core.settings, services, run_queue, lambda _: signals, (agents, runs, system))
        background = df.Blueprint()
        queue.register(background, services, run_queue, lambda _: signals)
        app = df.DFApp()
        app.register_functions(api.blueprint())
        app.register_functions(background)
        self._functions = {each.name: each for each in index_functions(app.get_functions())}
        binding = client_binding("Hub", "http://127.0.0.1:1/x", "http://127.0.0.1:1/x/")
        self._invoker = Invoker(timeout_s=60, client_value=binding)

    async def http(
        self,
        function: str,
        route: dict[str, str],
        body: Any,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
        *,
        method: str = "POST",
    ) -> tuple[int, Any]:
        """Call an HTTP function, and return status and JSON body."""
        parts = await self._call(function, route, body, headers or {}, params or {}, method)
        return int(parts["status_code"].value), json.loads(parts["body"].value)

    async def text(self, function: str) -> str:
        """Call an HTTP function that answers text, and return it."""
        parts = await self._call(function, {}, None, {}, {}, "GET")
        assert parts["headers"]["content-type"].value == "text/plain; version=0.0.4; charset=utf-8"
        return parts["body"].value.decode()

    async def _call(
        self,
        function: str,
        route: dict[str, str],
        body: Any,
        given: dict[str, str],
        params: dict[str, str],
        method: str,
    ) -> Any:
        datum = datums.http(
            method=method,
            url="http://x/",
            headers=[("Content-Type", "application/json"), *given.items()],
            query=params.items(),
            params=route,
            body=json.dumps(body).encode(),
        )
        outcome = await self._invoker.invoke(self._functions[function], datum, trace_parent=given.get("traceparent"))
        assert outcome.error is None
        assert outcome.value is not None
        return outcome.value.value

    async def received(self, session_id: str) -> ServiceBusReceivedMessage:
        """Take the next message of the session off the queue."""
        async with self._client.get_queue_receiver(QUEUE, session_id=session_id) as receiver:
            (message,) = await receiver.receive_messages(max_wait_time=10)
            await receiver.complete_message(message)
            return message

    async def deliver(self, message: ServiceBusReceivedMessage) -> Outcome:
        """Run the queue function for the message."""
        value, metadata = trigger_value(message)
        return await self._invoker.invoke(
            self._functions["run_agent"], value, metadata=metadata, trace_parent=trace_parent(message)
        )


@pytest_asyncio.fixture
async def model() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as fake:
        yield fake


@pytest.fixture(scope="session")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceBus]:
    """Run the emulator; each run has a session of its own, so that no test takes another's message."""
    with start_service_bus(topology(3), tmp_path_factory.mktemp("bus")) as running:
        yield running


@pytest_asyncio.fixture
async def functions(model: FakeOpenAI, bus: ServiceBus) -> AsyncIterator[Functions]:
    """The app's functions; the emulator is the real one."""
    settings = quick_settings(OPENAI_BASE_URL=model.base_url, OPENAI_API_KEY="k")
    services = Services(MemoryTables(), settings)
    run_queue = ServiceBusQueue(by_connection_string(bus.connection_string), QUEUE)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(ServiceBusClient.from_connection_string(bus.connection_string))
        stack.push_async_callback(services.aclose)
        stack.push_async_callback(run_queue.aclose)
        yield Functions(services, run_queue, client)
