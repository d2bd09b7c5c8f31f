"""Export by OTLP over HTTP (opentelemetry.io/docs/specs/otlp) of traces, logs and metrics.

Headers, compression, intervals and so on are read by the exporters from the standard OTEL_* variables.
"""

from __future__ import annotations

import logging

from opentelemetry._logs import get_logger_provider, set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor

OURS = frozenset({"adapters", "bootstrap", "kernel", "lifecycle", "llmops", "triggers"})
"""Packages whose log records are exported from level INFO; of others only from WARNING."""


def span_processor(endpoint: str) -> SpanProcessor:
    """Return the exporter of spans to the receiver with that base URL."""
    return BatchSpanProcessor(OTLPSpanExporter(_url(endpoint, "traces")))


def metric_reader(endpoint: str) -> MetricReader:
    """Return the exporter of metrics to the receiver, once a minute unless OTEL_METRIC_EXPORT_INTERVAL is set."""
    return PeriodicExportingMetricReader(OTLPMetricExporter(_url(endpoint, "metrics")))


def export_logs(endpoint: str, resource: Resource) -> None:
    """Export log records to the receiver, each with its trace and span."""
    processor = BatchLogRecordProcessor(OTLPLogExporter(_url(endpoint, "logs")))
    provider = get_logger_provider()
    if isinstance(provider, LoggerProvider):  # Application Insights has already added its handler to the root logger
        provider.add_log_record_processor(processor)
        return
    provider = LoggerProvider(resource=resource)
    provider.add_log_record_processor(processor)
    set_logger_provider(provider)
    handler = LoggingHandler(logger_provider=provider)
    handler.addFilter(_worth_exporting)
    logging.getLogger().addHandler(handler)


def _worth_exporting(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] in OURS


def _url(endpoint: str, signal: str) -> str:
    return f"{endpoint.rstrip('/')}/v1/{signal}"
