"""Metrics in Prometheus text format (prometheus.io/docs/instrumenting/exposition_formats), by `prometheus_client`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from llmops.metrics.definitions import Metric
from llmops.metrics.series import Numbers

CONTENT_TYPE = "text/plain; version=0.0.4"
"""Media type of the text; the charset, UTF-8, is added elsewhere."""

Sample = tuple[Metric, tuple[str, ...], Numbers]
"""A metric, the values of its labels, and its numbers."""


def exposition(samples: Iterable[Sample]) -> str:
    """Return the samples as Prometheus text, sorted by metric family and sample."""
    registry = CollectorRegistry()
    registry.register(_Samples(samples))
    return generate_latest(registry).decode()


class _Samples(Collector):
    def __init__(self, samples: Iterable[Sample]) -> None:
        by_metric: dict[Metric, list[Sample]] = {}
        for sample in sorted(samples, key=lambda sample: (sample[0].name, sample[1])):
            by_metric.setdefault(sample[0], []).append(sample)
        self._families = [_family(metric, found) for metric, found in by_metric.items()]

    def collect(self) -> Iterator[Family]:
        yield from self._families


def _family(metric: Metric, samples: Sequence[Sample]) -> Family:
    name = metric.prometheus_name
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(name, metric.help, labels=metric.labels)
        for _, labels, (_, total, *buckets) in samples:
            bounds = [*map(str, metric.buckets), "+Inf"]
            histogram.add_metric(labels, list(zip(bounds, accumulate(buckets), strict=True)), total * metric.scale)
        return histogram
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(name, metric.help, labels=metric.labels)
    for _, labels, (value, *_) in samples:
        family.add_metric(labels, value * metric.scale)
    return family
