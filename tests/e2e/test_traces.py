"""What the host process exports over OTLP: one trace from the request to the model's answer, and no prompts."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.support import PROMPT, Api, MemoryStack, Stack, eventually
from tests.waiting import QUIET_S

TRACE = "0af7651916cd43dd8448eb211c80319c"
SENT = f"00-{TRACE}-b7ad6b7169203331-01"
FAST = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_BLRP_SCHEDULE_DELAY": "100", "OTEL_METRIC_EXPORT_INTERVAL": "500"}


@dataclass
class Receiver:
    """An OTLP/HTTP receiver.

    Attributes:
        url: Its base URL.
        spans: Spans received.
        records: Log records received.
        metrics: Names of metrics received.
        raw: Everything received, as it came.
    """

    url: str = ""
    spans: list[Span] = field(default_factory=list[Span])
    records: list[Any] = field(default_factory=list[Any])
    metrics: set[str] = field(default_factory=set[str])
    raw: bytes = b""

    def missing(self, names: set[str]) -> set[str]:
        return names - {span.name for span in self.spans}

    async def traces(self, request: web.Request) -> web.Response:
        message = ExportTraceServiceRequest.FromString(await self._body(request))
        self.spans += [span for r in message.resource_spans for scope in r.scope_spans for span in scope.spans]
        return web.Response()

    async def logs(self, request: web.Request) -> web.Response:
        message = ExportLogsServiceRequest.FromString(await self._body(request))
        self.records += [log for r in message.resource_logs for scope in r.scope_logs for log in scope.log_records]
        return web.Response()

    async def metric(self, request: web.Request) -> web.Response:
        message = ExportMetricsServiceRequest.FromString(await self._body(request))
        self.metrics |= {m.name for r in message.resource_metrics for scope in r.scope_metrics for m in scope.metrics}
        return web.Response()

    async def _body(self, request: web.Request) -> bytes:
        body = await request.read()
        self.raw += body
        return body


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application(client_max_size=1 << 26)
    app.add_routes(
        [
            web.post("/v1/traces", found.traces),
            web.post("/v1/logs", found.logs),
            web.post("/v1/metrics", found.metric),
        ]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@pytest.fixture
def exporting(emulators: None, openai_url: str, receiver: Receiver) -> Iterator[Stack]:
    """A stack whose host exports to the receiver."""
    with (
        tempfile.TemporaryDirectory(prefix="e2e-") as directory,
        MemoryStack(
            Path(directory),
            OPENAI_BASE_URL=openai_url,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
            METRICS_EVERY_S="0.2",
            **FAST,
        ) as running,
    ):
        yield running


async def test_a_run_is_one_trace_and_holds_no_prompt(exporting: Stack, receiver: Receiver) -> None:
    """Request, actor, queue run, model calls and tool, from several functions of the host, and logs with them."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(QUIET_S)) as http:
        api = Api(http, exporting, None)
        await api.declare("bot", provider="openai", tools=["calculator"], instructions=f"{PROMPT} instructions")
        query = f'/tool calculator {{"expression": "2 + {PROMPT}"}}'
        reply = await api.call("POST", "agents/bot/runs", {"query": query}, traceparent=SENT, Prefer="wait=25")
        run = reply.json()
        assert (reply.status, run["state"]) == (200, "succeeded")
        names = {
            "POST agents/{name}/runs",
            "submit bot",
            "provision bot",
            "send agent-runs",
            "run bot",
            "invoke_agent bot",
            "chat gpt-4o",
            "execute_tool calculator",
        }
        await eventually(lambda: receiver.missing(names) == set())
        await eventually(lambda: "agent.runs" in receiver.metrics)
        mine = [span for span in receiver.spans if span.name in names]
        text = (await api.call("GET", "metrics")).body.decode()

    assert {span.trace_id.hex() for span in mine} == {TRACE}
    assert PROMPT.encode() not in receiver.raw
    assert run["answer"].encode() not in receiver.raw
    created = [log for log in receiver.records if any(a.value.string_value == "agent.created" for a in log.attributes)]
    assert [log.trace_id.hex() for log in created] == [TRACE]
    families = {family.name: family for family in text_string_to_metric_families(text)}
    (ended,) = families["agent_runs"].samples
    assert (ended.labels, ended.value) == ({"agent": "bot", "outcome": "succeeded"}, 1)
    assert {s.labels["state"]: s.value for s in families["agent_agents"].samples} == {"active": 1}
    assert sum(s.value for s in families["agent_model_tokens"].samples) > 0
