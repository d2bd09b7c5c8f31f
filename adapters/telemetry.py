"""Setting up OpenTelemetry: Application Insights, OTLP, or both.

On Azure the Functions worker may have set up Application Insights before the app is loaded
(PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY). That setup is extended and never repeated, because otherwise everything
would be sent twice.
"""

from __future__ import annotations

from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Event, Span, SpanProcessor, TracerProvider
from opentelemetry.trace import Status, StatusCode

from kernel.tracing import SCOPE

_TEXTS = frozenset({"exception.message", "exception.stacktrace"})


class ExceptionTextFilter(SpanProcessor):
    """Removes exception texts from spans, because a provider's error can quote the prompt; the types stay.

    It comes before the processors that export.
    """

    def _on_ending(self, span: Span) -> None:
        events = [_without_texts(event) for event in span.events]
        if events != list(span.events):
            span._events = events  # type: ignore[assignment] # noqa: SLF001 - the SDK's hook for changes has no setter
        if span.status.status_code is StatusCode.ERROR and not _says_a_code(span):
            span._status = Status(StatusCode.ERROR)  # noqa: SLF001 - set_status cannot take a description back


def start(*, otlp_endpoint: str, connection_string: str, content: bool) -> None:
    """Export what is recorded from now on.

    Args:
        otlp_endpoint: Base URL of an OTLP/HTTP receiver; empty for none.
        connection_string: Connection string of Application Insights; empty for none.
        content: Whether prompts and answers may be exported.
    """
    resource = _resource()
    readers: list[MetricReader] = []
    if otlp_endpoint:
        from adapters import otlp  # noqa: PLC0415 - not with Application Insights alone

        readers.append(otlp.metric_reader(otlp_endpoint))
    if connection_string and not isinstance(trace.get_tracer_provider(), TracerProvider):
        _start_application_insights(connection_string, resource, readers)
    elif readers and not isinstance(metrics.get_meter_provider(), MeterProvider):
        metrics.set_meter_provider(MeterProvider(readers, resource=resource))
    tracing = _tracer_provider(resource)
    if not content:
        _add_first(tracing, ExceptionTextFilter())
    if otlp_endpoint:
        from adapters import otlp  # noqa: PLC0415 - see above

        tracing.add_span_processor(otlp.span_processor(otlp_endpoint))
        otlp.export_logs(otlp_endpoint, resource)


def _start_application_insights(connection_string: str, resource: Resource, readers: list[MetricReader]) -> None:
    from azure.monitor.opentelemetry import configure_azure_monitor  # noqa: PLC0415 - 0.4 s

    configure_azure_monitor(
        connection_string=connection_string,
        resource=resource,
        metric_readers=readers,
        enable_live_metrics=False,
        enable_performance_counters=False,
    )


def _tracer_provider(resource: Resource) -> TracerProvider:
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        return provider
    provider = TracerProvider(resource=resource)
    trace.set_tracer_provider(provider)
    return provider


def _add_first(tracing: TracerProvider, processor: SpanProcessor) -> None:
    """Add the processor before the existing ones, for which the SDK has no function."""
    active: Any = tracing._active_span_processor  # noqa: SLF001 - see above
    active._span_processors = (processor, *active._span_processors)  # noqa: SLF001 - see above


def _resource() -> Resource:
    resource = Resource.create()  # reads OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
    unnamed = str(resource.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service")
    return resource.merge(Resource({SERVICE_NAME: SCOPE})) if unnamed else resource


def _without_texts(event: Event) -> Event:
    attributes = event.attributes or {}
    if not _TEXTS & attributes.keys():
        return event
    kept = {key: value for key, value in attributes.items() if key not in _TEXTS}
    return Event(event.name, kept, event.timestamp)


def _says_a_code(span: Span) -> bool:
    """Return whether the status text is only the error's type, as in the app's own spans."""
    return span.status.description in (None, (span.attributes or {}).get("error.type"))
