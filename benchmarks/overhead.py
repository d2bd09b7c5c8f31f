"""What observing a run costs: the same run bare, scored, within budgets and traced.

Everything is in memory and the model answers by rule, so that only the app's own work is measured; a real run adds a
model's seconds to both sides.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks.measure import Result, median_ms
from bootstrap.services import Services
from kernel.ids import new_id
from kernel.settings import Settings
from kernel.tracing import PRODUCER, carrier, event, parent_of, span
from lifecycle.conversations.run_request import RunRequest, Submission
from lifecycle.registry.actor_signals import AgentSignals
from lifecycle.specs.spec import AgentSpec
from llmops.budgets.budget_rules import Budget, Limit, parse_scope
from llmops.facts.attempt_fact import AttemptFact, Attribution, Call, Ending, Timing
from llmops.spend.usage import Usage

_RUNS = 150
_SPANS = 5_000
_TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class _Nowhere(SpanExporter):
    """Discards spans: a network exporter works in its own thread, so its cost is not the run's."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


async def measure_overhead() -> list[Result]:
    """Return a run's time bare, then with scores, budgets and traces added one after the other."""
    services = Services.in_memory(Settings.of({"EVALUATION_SHARE": 0}))
    scoring = Services(services.core.tables, Settings())
    signals = services.agents.local_signals()
    await services.agents.administration.declare("default", "bench", AgentSpec(model="gpt-5-mini"), signals)
    for warm in (services, scoring):
        await _runs(warm, signals, 20)  # done once per process
    bare_ms = await _runs(services, signals, _RUNS)
    fact_ms = await _fact_ms(services)
    scored_ms = await _runs(scoring, signals, _RUNS)
    budget = Budget(parse_scope("workspace"), (Limit("usd", "month", 10**12), Limit("tokens", "day", 10**12)))
    await scoring.budgets.store.put("default", budget, None)
    await asyncio.sleep(scoring.core.settings.budget_trust)  # until the workers have read the budgets
    budgeted_ms = await _runs(scoring, signals, _RUNS)
    idle_us = _spans_of_a_run_us()
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(_Nowhere()))
    trace.set_tracer_provider(provider)
    await _runs(scoring, signals, 20)
    traced_ms = await _runs(scoring, signals, _RUNS)
    provider.shutdown()
    await services.aclose()

    def beside(what: str, took: float) -> Result:
        return Result(f"a run's own work, {what}", f"{took:.2f} ms", f"bare {bare_ms:.2f} ms", f"{took / bare_ms:.2f}×")

    return [
        Result("an attempt's fact", f"{fact_ms:.2f} ms", "a bare run's own work", f"{fact_ms / bare_ms:.1%}"),
        Result(
            "a run's spans, none recorded",
            f"{idle_us:.0f} µs",
            "a bare run's own work",
            f"{idle_us / 1000 / bare_ms:.1%}",
        ),
        beside("scored", scored_ms),
        beside("scored, within two budgets", budgeted_ms),
        beside("scored, within two budgets, traced", traced_ms),
    ]


async def _fact_ms(services: Services) -> float:
    """Return the time to write the fact of an attempt, in milliseconds."""
    now = services.core.clock()
    usage = Usage(input_tokens=100, output_tokens=50)

    async def once() -> None:
        who = Attribution("default", "bench", "s", new_id())
        call = Call(1, now, "offline", "gpt-5-mini", usage, 10)
        await services.spend.facts.record(AttemptFact(who, 1, Timing(now, now, now, now), Ending.SUCCEEDED, (call,)))

    return await median_ms(once, _RUNS)


async def _runs(services: Services, signals: AgentSignals, times: int) -> float:
    """Return the median time of a run that starts a session, in milliseconds."""
    queued: list[Submission] = []

    async def send(submission: Submission) -> None:
        queued.append(submission)

    took: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        await services.runs.submission.submit(
            "default", "bench", RunRequest(query="How much?"), new_id(), signals, send
        )
        await services.runs.worker.process(queued.pop(), signals)
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
