"""What watching a run costs: the same run with traces recorded and without, and what its spans cost when nobody looks.

Everything is in memory and the model answers by rule, so that what is left is our own work; a real run adds a model's
seconds to both sides.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks.measure import Result
from bootstrap.services import Services
from kernel.ids import new_id
from kernel.settings import Settings
from kernel.tracing import PRODUCER, carrier, event, parent_of, span
from lifecycle.configuration.specs import AgentSpec
from lifecycle.registry.signals import AgentSignals
from lifecycle.runs.submissions import RunRequest, Submission

_RUNS = 150
_SPANS = 5_000
_TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class _Nowhere(SpanExporter):
    """Takes spans and forgets them: what a network exporter does in its own thread is not the run's cost."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


async def measure_overhead() -> list[Result]:
    """Return a run's time without and with traces, and the time its spans take when none are recorded."""
    services = Services.in_memory(Settings())
    signals = services.local_signals()
    await services.administration.declare("default", "bench", AgentSpec(model="gpt-5-mini"), signals)
    await _runs(services, signals, 20)  # what is made once per process
    off_ms = await _runs(services, signals, _RUNS)
    idle_us = _spans_of_a_run_us()
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(_Nowhere()))
    trace.set_tracer_provider(provider)
    await _runs(services, signals, 20)
    on_ms = await _runs(services, signals, _RUNS)
    provider.shutdown()
    await services.aclose()
    return [
        Result(
            "a run's own work, no traces recorded",
            f"{off_ms:.2f} ms",
            f"of it our spans: {idle_us:.0f} µs",
            f"{idle_us / 1000 / off_ms:.1%}",
        ),
        Result(
            "the same, traces recorded", f"{on_ms:.2f} ms", f"none recorded: {off_ms:.2f} ms", f"{on_ms / off_ms:.2f}×"
        ),
    ]


async def _runs(services: Services, signals: AgentSignals, times: int) -> float:
    """Return the median time of a run that starts a session, in milliseconds."""
    queued: list[Submission] = []

    async def send(submission: Submission) -> None:
        queued.append(submission)

    took: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        await services.intake.submit("default", "bench", RunRequest(query="How much?"), new_id(), signals, send)
        await services.runner.process(queued.pop(), signals)
        took.append((time.perf_counter() - started) * 1000)
    return statistics.median(took)


def _spans_of_a_run_us() -> float:
    """Return what our part of a run's trace takes: request, submission, message and run, with the run's stages."""
    started = time.perf_counter()
    for _ in range(_SPANS):
        sent = {"traceparent": _TRACEPARENT}
        with span("request", parent=parent_of(sent, sent)), span("submit"), span("send", kind=PRODUCER):
            carrier()
        with span("run", parent=parent_of(sent, sent)):
            for _ in range(4):
                event("run.stage")
    return (time.perf_counter() - started) / _SPANS * 1_000_000
