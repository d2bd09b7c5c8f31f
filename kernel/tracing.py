"""Traces: spans by the OpenTelemetry API, and W3C trace context in and out (www.w3.org/TR/trace-context).

Nothing is recorded unless `adapters.telemetry` (or the Functions worker) has set up an exporter; a caller's
`traceparent` is passed on anyway. Only the API is imported here, which the Durable SDK imports too.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from kernel.errors import AppError

SCOPE = "agent-lifecycle"
"""Instrumentation scope of the app's spans and metrics."""

_W3C = TraceContextTextMapPropagator()
_TRACER = trace.get_tracer(SCOPE)

PRODUCER = SpanKind.PRODUCER
"""Kind of a span that sends a message."""

Attributes = Mapping[str, str | int | float | bool | None]


def carrier() -> dict[str, str]:
    """Return the current trace context as `traceparent` and, if present, `tracestate`; empty outside a trace."""
    headers: dict[str, str] = {}
    _W3C.inject(headers)
    return headers


def traceparent() -> str | None:
    """Return the current trace context as a `traceparent`; None outside a trace."""
    return carrier().get("traceparent")


def parent_of(sent: Mapping[str, object], host: Mapping[str, object]) -> Context:
    """Return the parent context of an incoming request; an empty one starts a new trace.

    The sender's trace is continued, below the host's own span if the host records it too. A trace that the host started
    without recording is ignored: its "not sampled" flag would suppress ours.

    Args:
        sent: The sender's `traceparent` and optional `tracestate`; malformed values are ignored.
        host: The same of the host's own span for this invocation.
    """
    sender, ours = _parsed(sent), _parsed(host)
    if sender.is_valid:
        recorded = ours.trace_id == sender.trace_id and ours.trace_flags.sampled == sender.trace_flags.sampled
        return _in_context(ours if recorded else sender)
    return _in_context(ours) if ours.is_valid and ours.trace_flags.sampled else Context()


def resumed(kept: str | None) -> tuple[Context | None, Sequence[Link]]:
    """Return the parent context for a stored `traceparent`, and links to the present trace if it differs.

    In the same trace, or without a stored one, the parent is the current span (None).
    """
    current = trace.get_current_span().get_span_context()
    before = _parsed({"traceparent": kept} if kept else {})
    if not before.is_valid or before.trace_id == current.trace_id:
        return None, ()
    return _in_context(before), [Link(current)] if current.is_valid else []


@contextmanager
def attached(context: Context) -> Generator[None]:
    """Make the context current inside the block."""
    token = contexts.attach(context)
    try:
        yield
    finally:
        contexts.detach(token)


@contextmanager
def span(
    name: str,
    attributes: Attributes | None = None,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: Context | None = None,
    links: Sequence[Link] = (),
) -> Generator[Span]:
    """Record the block as a span; an error sets its status and `error.type`, never its text.

    Args:
        name: The span's name, of few values, without ids.
        attributes: None values are left out.
        kind: INTERNAL, unless the block calls or serves another process.
        parent: Parent context; the current one unless given.
        links: Other spans that led to this one.
    """
    given = {key: value for key, value in (attributes or {}).items() if value is not None}
    started = _TRACER.start_span(name, context=parent, kind=kind, links=links, attributes=given)
    with trace.use_span(started, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield started
        except Exception as error:
            failed(started, error.code if isinstance(error, AppError) else type(error).__name__)
            raise


def failed(failing: Span, code: str) -> None:
    """Mark the span as failed with the error code."""
    failing.set_attribute("error.type", code)
    failing.set_status(Status(StatusCode.ERROR, code))


def event(name: str, attributes: Attributes | None = None) -> None:
    """Add an event to the current span."""
    current = trace.get_current_span()
    if current.is_recording():
        current.add_event(name, {key: value for key, value in (attributes or {}).items() if value is not None})


def _parsed(headers: Mapping[str, object]) -> SpanContext:
    """Return the span context in the headers; an invalid one if there is none."""
    texts = {name: value for name, value in headers.items() if isinstance(value, str)}
    return trace.get_current_span(_W3C.extract(texts, Context())).get_span_context()


def _in_context(span_context: SpanContext) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(span_context), Context())
