"""Setting exporters up. Providers are set once per process, so each test has a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
INSIGHTS = "InstrumentationKey=00000000-0000-0000-0000-000000000000;IngestionEndpoint=http://127.0.0.1:9/"
OTLP = "http://127.0.0.1:9"

RUN = """
import asyncio, json
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from adapters.telemetry import start
from bootstrap.services import Services
from lifecycle.specs.spec import AgentSpec

start(otlp_endpoint="", connection_string="", content={content})
kept = InMemorySpanExporter()
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(kept))

async def main():
    async with Services.in_memory().manager() as manager:
        agent = await manager.get_or_create("helper", AgentSpec(model="gpt-5-mini", instructions="zq-instructions"))
        await agent.run("zq-query")

asyncio.run(main())
print(json.dumps([json.loads(span.to_json()) for span in kept.get_finished_spans()]))
"""


def python(program: str, **environment: str) -> Any:
    """Run the program and return the JSON of its last line."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "OTEL_SDK_DISABLED": "false", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("content", [False, True])
def test_prompts_are_recorded_only_when_asked_for(*, content: bool) -> None:
    """The framework's own spans hold them with ENABLE_SENSITIVE_DATA, and only then."""
    spans = python(RUN.format(content=content), ENABLE_SENSITIVE_DATA=str(content).lower())
    text = json.dumps(spans)

    assert {"invoke_agent helper", "chat gpt-5-mini", "run helper"} <= {span["name"] for span in spans}
    assert ("zq-query" in text, "zq-instructions" in text) == (content, content)


SET_UP = """
import json, sys
from opentelemetry import metrics, trace, _logs
from adapters.telemetry import start
{before}
start(otlp_endpoint={otlp!r}, connection_string={insights!r}, content=False)
tracing = trace.get_tracer_provider()
exporters = [type(p.span_exporter).__name__ for p in tracing._active_span_processor._span_processors
             if hasattr(p, "span_exporter")]
first = type(tracing._active_span_processor._span_processors[0]).__name__
provider = metrics.get_meter_provider()
readers = [type(r._exporter).__name__ for r in getattr(provider, "_metric_readers", ()) if hasattr(r, "_exporter")]
print(json.dumps([first, sorted(exporters), sorted(readers), type(_logs.get_logger_provider()).__name__,
                  tracing.resource.attributes["service.name"], "azure.monitor" in sys.modules]))
sys.stdout.flush()
import os; os._exit(0)
"""
THERE = "from opentelemetry.sdk.trace import TracerProvider; trace.set_tracer_provider(TracerProvider())"
TRACES, METRICS = "OTLPSpanExporter", "OTLPMetricExporter"


def test_otlp_gets_all_three() -> None:
    """Traces, metrics and logs, under the app's name; nothing of Azure Monitor is imported."""
    found = python(SET_UP.format(before="", otlp=OTLP, insights=""))

    assert found == ["ExceptionTextFilter", [TRACES], [METRICS], "LoggerProvider", "agent-lifecycle", False]


def test_a_service_can_be_named() -> None:
    """By the standard variable."""
    found = python(SET_UP.format(before="", otlp=OTLP, insights=""), OTEL_SERVICE_NAME="ours")

    assert found[4] == "ours"


def test_application_insights_and_otlp_side_by_side() -> None:
    """Each gets everything, once, and texts are taken out before either."""
    found = python(SET_UP.format(before="", otlp=OTLP, insights=INSIGHTS))

    assert found[0] == "ExceptionTextFilter"
    assert found[1] == ["AzureMonitorTraceExporter", TRACES]
    assert found[2] == ["AzureMonitorMetricExporter", METRICS]
    assert found[5] is True


def test_what_the_worker_set_up_is_not_set_up_twice() -> None:
    """Or every span would be sent twice; texts are taken out all the same."""
    found = python(SET_UP.format(before=THERE, otlp="", insights=INSIGHTS))

    assert (found[0], found[1], found[5]) == ("ExceptionTextFilter", [], False)
