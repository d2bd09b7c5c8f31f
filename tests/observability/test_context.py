"""Whose trace an invocation goes on with, and that watching costs nothing until it is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import StatusCode

from adapters.durable_signals import CONTEXT, sent_in
from adapters.telemetry import ExceptionTextFilter
from kernel.tracing import attached, carrier, parent_of, resumed
from tests.observability.conftest import Recorder

ROOT = Path(__file__).parents[2]
A, B = "a" * 32, "b" * 32


def header(trace_id: str, span_id: str, *, sampled: bool = True) -> str:
    return f"00-{trace_id}-{span_id * 8}-{int(sampled):02d}"


def of(text: str) -> dict[str, str]:
    return {"traceparent": text} if text else {}


@pytest.mark.parametrize(
    ("sent", "host", "expected"),
    [
        (header(A, "11"), header(A, "22"), header(A, "22")),  # the host's span is part of the sender's trace
        (header(A, "11"), header(A, "22", sampled=False), header(A, "11")),  # … but nobody records it
        (header(A, "11", sampled=False), header(A, "22", sampled=False), header(A, "22", sampled=False)),
        (header(A, "11"), header(B, "22"), header(A, "11")),  # the host began another one
        (header(A, "11"), "", header(A, "11")),
        ("", header(B, "22"), header(B, "22")),
        ("", header(B, "22", sampled=False), ""),  # nobody decided not to record; a trace begins
        ("", "", ""),
        ("00-nonsense", header(B, "22"), header(B, "22")),
        ("00-" + "0" * 32 + "-1111111111111111-01", "x" * 10_000, ""),
    ],
)
def test_whose_trace_is_gone_on_with(sent: str, host: str, expected: str) -> None:
    """The sender's, below the host's span where that is recorded; malformed headers count as none."""
    with attached(parent_of(of(sent), of(host))):
        assert carrier().get("traceparent", "") == expected


def test_the_sender_s_state_is_passed_on() -> None:
    """Vendors keep their own ids in `tracestate`."""
    with attached(parent_of({"traceparent": header(A, "11"), "tracestate": "vendor=1"}, {})):
        assert carrier() == {"traceparent": header(A, "11"), "tracestate": "vendor=1"}


def test_a_stored_context_is_resumed() -> None:
    """In its own trace there is nothing to do; from another one it is gone back to, with a link."""
    with attached(parent_of(of(header(A, "11")), {})):
        assert resumed(header(A, "22")) == (None, ())
        assert resumed(None) == (None, ())
        parent, links = resumed(header(B, "22"))
    with attached(parent or Context()):
        assert carrier()["traceparent"] == header(B, "22")
    assert [f"{link.context.trace_id:032x}" for link in links] == [A]


@pytest.mark.parametrize("values", [{}, {CONTEXT: None}, {CONTEXT: "x"}, {CONTEXT: {"traceparent": 7}}])
def test_a_signal_without_a_usable_context_begins_a_trace(values: dict[str, object]) -> None:
    """Those sent before a deployment, say."""
    with attached(sent_in(values)):
        assert carrier() == {}
    assert CONTEXT not in values


def test_texts_of_exceptions_are_taken_out() -> None:
    """An SDK's message can quote the prompt; the type and our own codes stay."""
    recorder, provider = Recorder(on=True), TracerProvider()
    provider.add_span_processor(ExceptionTextFilter())
    provider.add_span_processor(recorder)
    tracer = provider.get_tracer("test")
    with pytest.raises(ValueError, match="quoted"), tracer.start_as_current_span("theirs"):
        raise ValueError("quoted prompt")
    with tracer.start_as_current_span("ours") as span:
        span.set_attribute("error.type", "provider_throttled")
        span.set_status(StatusCode.ERROR, "provider_throttled")

    theirs, ours = recorder.spans
    assert (theirs.events[0].attributes or {})["exception.type"] == "ValueError"
    assert theirs.status.status_code is StatusCode.ERROR
    assert "quoted" not in theirs.to_json()
    assert ours.status.description == "provider_throttled"


def test_nothing_of_an_sdk_is_imported_by_default() -> None:
    """No exporter, no SDK, no Prometheus library at a cold start; and with OTLP no Azure Monitor."""
    settings = {
        "TablesConnection": "UseDevelopmentStorage=true",
        "ServiceBusConnection": "Endpoint=sb://127.0.0.1;SharedAccessKeyName=x;SharedAccessKey=y",
    }
    program = "import function_app, sys; print(*sorted(m for m in sys.modules if m.startswith(HEAVY)))"
    heavy = (
        "opentelemetry.sdk",
        "opentelemetry.exporter",
        "opentelemetry.metrics",
        "azure.monitor",
        "prometheus_client",
    )
    for more, found in (({}, set()), ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, {"opentelemetry"})):
        done = subprocess.run(
            [sys.executable, "-c", program.replace("HEAVY", repr(heavy))],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **settings, **more},
            capture_output=True,
            text=True,
            check=True,
        )
        assert {name.partition(".")[0] for name in done.stdout.split()} == found


def test_a_tracer_without_a_provider_passes_the_context_on() -> None:
    """A caller's trace reaches the queue although this app records nothing of it."""
    program = (
        "from kernel.tracing import *; from kernel.tracing import span\n"
        f"with span('a', parent=parent_of({{'traceparent': '{header(A, '11')}'}}, {{}})), span('b'):\n"
        "    print(carrier()['traceparent'])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == header(A, "11")
    assert trace.get_current_span().get_span_context().is_valid is False
