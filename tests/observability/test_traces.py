"""One run is one trace: from the request over the queue to the model's calls, over the app's own functions."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanKind, StatusCode

from tests.fakes.openai_server import FakeOpenAI
from tests.observability.conftest import Functions, Recorder

SECRET = "zq-prompt"
TRACE = "0af7651916cd43dd8448eb211c80319c"
SENT = f"00-{TRACE}-b7ad6b7169203331-01"
SPEC = {"provider": "openai", "model": "gpt-4o-mini", "instructions": f"{SECRET}-instructions", "tools": ["calculator"]}


def trace_of(span: ReadableSpan) -> int:
    """Return the id of the span's trace."""
    return (span.get_span_context() or INVALID_SPAN_CONTEXT).trace_id


async def asked(functions: Functions, query: str, headers: dict[str, str] | None = None, **body: Any) -> Any:
    """Declare an agent, submit a run to it and return the run."""
    status, _ = await functions.http("agents_item", {"name": "bot"}, SPEC, method="PUT")
    assert status in (200, 201)
    status, run = await functions.http("runs_submit", {"name": "bot"}, {"query": query, **body}, headers)
    assert status == 202
    return run


@pytest.mark.parametrize("stream", [False, True])
async def test_the_spans_of_a_run(functions: Functions, recorder: Recorder, *, stream: bool) -> None:
    """Request, submission, message, run, agent, model calls and tool are one tree below the caller's span."""
    run = await asked(functions, '/tool calculator {"expression": "2 + 3"}', {"traceparent": SENT}, stream=stream)
    outcome = await functions.deliver(await functions.received(run["session_id"]))

    assert outcome.error is None
    assert recorder.tree(int(TRACE, 16)) == [
        "POST agents/{name}/runs",
        "  submit bot",
        "    provision bot",
        "    send agent-runs",
        "run bot",
        "  invoke_agent bot",
        "    chat gpt-4o-mini",
        "    execute_tool calculator",
        "    chat gpt-4o-mini",
    ]


async def test_what_the_spans_say(functions: Functions, recorder: Recorder) -> None:
    """Ids, attempt, version, outcome and stages are on the run; the names are those of the semantic conventions."""
    run = await asked(functions, "Hi")
    await functions.deliver(await functions.received(run["session_id"]))
    span = recorder.named("run bot")
    stored = await functions.services.runs.queries.get("default", run["id"])

    assert dict(span.attributes or {}) == {
        "agent.workspace": "default",
        "agent.run.id": run["id"],
        "gen_ai.agent.name": "bot",
        "gen_ai.conversation.id": run["session_id"],
        "agent.run.attempt": 1,
        "agent.run.outcome": "succeeded",
        "gen_ai.agent.version": stored.version,
    }
    stages = [(event.attributes or {}).get("stage") for event in span.events]
    assert stages == ["INITIALIZING", "RUNNING", "EVALUATING", "COMPLETED"]
    assert recorder.named("send agent-runs").kind is SpanKind.PRODUCER
    assert (recorder.named("POST agents/{name}/runs").attributes or {})["http.response.status_code"] == 202


async def test_a_run_without_a_sender_s_trace_begins_one(functions: Functions, recorder: Recorder) -> None:
    """A caller that sends no context still gets one trace for the whole of its run."""
    run = await asked(functions, "Hi")
    await functions.deliver(await functions.received(run["session_id"]))
    submitted, ran = recorder.named("POST agents/{name}/runs"), recorder.named("run bot")

    assert submitted.parent is None
    assert trace_of(ran) == trace_of(submitted)
    assert ran.parent is not None


async def test_a_caller_that_is_not_sampled_is_not_recorded(functions: Functions, recorder: Recorder) -> None:
    """Its decision travels with the context, over the queue, too."""
    run = await asked(functions, "Hi", {"traceparent": f"{SENT[:-2]}00"})
    message = await functions.received(run["session_id"])
    await functions.deliver(message)

    assert recorder.tree(int(TRACE, 16)) == []
    assert str((message.application_properties or {})[b"traceparent"]).startswith(f"b'00-{TRACE}-")


async def test_every_delivery_of_a_run_is_in_its_trace(
    functions: Functions, model: FakeOpenAI, recorder: Recorder
) -> None:
    """A failed attempt, the one after it and a duplicate are three spans below the same submission."""
    model.fail_next("server_error", times=10)
    run = await asked(functions, "Hi", {"traceparent": SENT})
    message = await functions.received(run["session_id"])
    first = await functions.deliver(message)
    model._planned.clear()
    again = await functions.received(run["session_id"])  # put back by the first, for when the pause is over
    for _ in range(2):
        await functions.deliver(again)
    spans = [span for span in recorder.spans if span.name == "run bot"]

    assert first.error is None
    assert [(span.attributes or {})["agent.run.outcome"] for span in spans] == ["retried", "succeeded", "duplicate"]
    assert {f"{trace_of(span):032x}" for span in spans} == {TRACE}
    assert spans[0].status.status_code is StatusCode.ERROR
    assert spans[0].status.description == (spans[0].attributes or {})["error.type"]


async def test_a_run_that_comes_back_in_another_trace_goes_on_with_its_own(
    functions: Functions, recorder: Recorder
) -> None:
    """As a redriven one does; the trace it came in is linked."""
    run = await asked(functions, "Hi", {"traceparent": SENT})
    message = await functions.received(run["session_id"])
    other = SENT.replace(TRACE, "1" * 32)
    message.application_properties[b"traceparent"] = message.application_properties[b"Diagnostic-Id"] = other.encode()  # pyright: ignore[reportOptionalSubscript]
    await functions.deliver(message)
    span = recorder.named("run bot")

    assert f"{trace_of(span):032x}" == TRACE
    assert [f"{link.context.trace_id:032x}" for link in span.links] == ["1" * 32]


@pytest.mark.parametrize("fault", [None, "content_filter", "invalid", "malformed", "server_error"])
async def test_no_prompt_is_recorded_by_default(
    functions: Functions, model: FakeOpenAI, recorder: Recorder, fault: Any
) -> None:
    """Neither query, instructions, tool arguments nor answers are in any span or log, whatever the model does."""
    if fault:
        model.fail_next(fault, times=10)
    run = await asked(functions, f'/tool calculator {{"expression": "{SECRET}"}}')
    await functions.deliver(await functions.received(run["session_id"]))
    recorded = recorder.text()

    assert len(recorder.spans) >= 5
    assert "run bot" in recorded
    assert SECRET not in recorded
    assert "heard" not in recorded


async def test_logs_carry_the_trace(functions: Functions, model: FakeOpenAI, recorder: Recorder) -> None:
    """A log record names the span it was written in."""
    model.fail_next("server_error", times=10)
    run = await asked(functions, "Hi", {"traceparent": SENT})
    logging.getLogger("lifecycle").setLevel(logging.INFO)
    await functions.deliver(await functions.received(run["session_id"]))
    failed = [
        log.log_record
        for log in recorder.logs
        if "run.attempt_failed" in json.dumps(dict(log.log_record.attributes or {}), default=str)
    ]

    assert [(f"{record.trace_id:032x}", record.span_id) for record in failed] == [
        (TRACE, (recorder.named("run bot").get_span_context() or INVALID_SPAN_CONTEXT).span_id)
    ]
