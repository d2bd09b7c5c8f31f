"""Series of numbers: a metric with its labels' values, and what it came to. Pure; they add up in any order."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from operator import add, sub

from llmops.metrics.definitions import BY_NAME, Metric

Key = tuple[str, ...]
"""The metric's name, then the values of its labels in order."""
Numbers = tuple[float, ...]
"""A counter's or gauge's sum; or a histogram's count, sum, and the number of values in each bucket."""
Series = Mapping[Key, Numbers]

MAX_SERIES = 200
"""Most series of a metric that one worker tells apart in a workspace; the rest are counted as OTHER."""
OTHER = "_other"


def observed(metric: Metric, value: float) -> Numbers:
    """Return what one value comes to."""
    if metric.kind != "histogram":
        return (value,)
    buckets = [0.0] * (len(metric.buckets) + 1)
    buckets[bisect_left(metric.buckets, value)] = 1.0
    return (1.0, value, *buckets)


def added(series: Series, more: Series) -> dict[Key, Numbers]:
    """Return both together."""
    total = dict(series)
    for key, numbers in more.items():
        total[key] = tuple(map(add, total[key], numbers)) if key in total else numbers
    return total


def gathered(series: Series, more: Series) -> dict[Key, Numbers]:
    """Return both together, telling MAX_SERIES of a metric apart and counting the rest as OTHER."""
    total, told = dict(series), Counter(key[0] for key in series)
    for key, numbers in more.items():
        kept = key if key in total or told[key[0]] < MAX_SERIES else _other(key)
        told[key[0]] += kept not in total
        total[kept] = tuple(map(add, total[kept], numbers)) if kept in total else numbers
    return total


def without(series: Series, earlier: Series) -> dict[Key, Numbers]:
    """Return what came since the earlier state of the same series; series that did not change are left out."""
    return {
        key: tuple(map(sub, numbers, earlier[key])) if key in earlier else numbers
        for key, numbers in series.items()
        if earlier.get(key) != numbers
    }


def lasting(series: Series) -> dict[Key, Numbers]:
    """Return the series without gauges: what a worker that is gone leaves behind, for it runs nothing any more."""
    return {key: numbers for key, numbers in series.items() if BY_NAME[key[0]].kind != "gauge"}


def limited(series: Mapping[Key, Numbers], key: Key) -> Key:
    """Return the key to count under: its own, or OTHER's when the metric has too many series already."""
    if key in series or sum(known[0] == key[0] for known in series) < MAX_SERIES:
        return key
    return _other(key)


def dump(series: Series) -> str:
    """Return the series as JSON."""
    return json.dumps([[list(key), list(numbers)] for key, numbers in series.items()], separators=(",", ":"))


def load(text: str) -> dict[Key, Numbers]:
    """Return the series that `dump` wrote, without those of metrics (or buckets) that there are no more."""
    found: Iterable[tuple[list[str], list[float]]] = json.loads(text)
    return {tuple(key): tuple(numbers) for key, numbers in found if _fits(key, numbers)}


def _other(key: Key) -> Key:
    return (key[0], *(OTHER for _ in key[1:]))


def _fits(key: list[str], numbers: list[float]) -> bool:
    metric = BY_NAME.get(key[0])
    return metric is not None and len(key) == len(metric.labels) + 1 and len(numbers) == len(observed(metric, 0))
