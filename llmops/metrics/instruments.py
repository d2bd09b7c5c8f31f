"""Passing metrics to OpenTelemetry, which exports them if an exporter is configured and drops them otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.metrics import Counter, Histogram, UpDownCounter, get_meter

from kernel.tracing import SCOPE

if TYPE_CHECKING:
    from llmops.metrics.definitions import Metric

_UNITS = {"seconds": "s", "usd": "{USD}"}


class Instruments:
    """One OpenTelemetry instrument per metric, created on first use."""

    def __init__(self) -> None:
        self._meter = get_meter(SCOPE)
        self._made: dict[str, Counter | Histogram | UpDownCounter] = {}

    def push(self, metric: Metric, value: float, labels: tuple[str, ...]) -> None:
        """Record a value with the values of the metric's labels."""
        instrument = self._made.get(metric.name)
        if instrument is None:
            instrument = self._made[metric.name] = self._make(metric)
        attributes = dict(zip(metric.labels, labels, strict=True))
        if isinstance(instrument, Histogram):
            instrument.record(value * metric.scale, attributes)
        else:
            instrument.add(value * metric.scale, attributes)

    def _make(self, metric: Metric) -> Counter | Histogram | UpDownCounter:
        unit = _UNITS.get(metric.unit, "1")
        if metric.kind == "histogram":
            bounds = list(metric.buckets)
            return self._meter.create_histogram(
                metric.name, unit, metric.help, explicit_bucket_boundaries_advisory=bounds
            )
        if metric.kind == "gauge":
            return self._meter.create_up_down_counter(metric.name, unit, metric.help)
        return self._meter.create_counter(metric.name, unit, metric.help)
