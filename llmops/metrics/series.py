"""Time series as values: a metric with its labels, and its sum. Pure; they can be added in any order."""

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
"""Sum of a counter or gauge; of a histogram its count, its sum, and the number of values in each bucket."""
Series = Mapping[Key, Numbers]

MAX_SERIES = 200
"""Most series of a metric that one worker keeps in a workspace; further ones are counted as OTHER."""
OTHER = "_other"


def observed(metric: Metric, value: float) -> Numbers:
    """Return the numbers of a single value."""
    if metric.kind != "histogram":
        return (value,)
    buckets = [0.0] * (len(metric.buckets) + 1)
    buckets[bisect_left(metric.buckets, value)] = 1.0
    return (1.0, value, *buckets)


def added(series: Series, more: Series) -> dict[Key, Numbers]:
    """Return the sum of both."""
    total = dict(series)
    for key, numbers in more.items():
        total[key] = tuple(map(add, total[key], numbers)) if key in total else numbers
    return total


def gathered(series: Series, more: Series) -> dict[Key, Numbers]:
    """Return the sum of both, with at most MAX_SERIES series per metric and the rest as OTHER."""
    total, count_by_name = dict(series), Counter(key[0] for key in series)
    for key, numbers in more.items():
        kept = key if key in total or count_by_name[key[0]] < MAX_SERIES else _other(key)
        count_by_name[key[0]] += kept not in total
        total[kept] = tuple(map(add, total[kept], numbers)) if kept in total else numbers
    return total


def without(series: Series, earlier: Series) -> dict[Key, Numbers]:
    """Return what was added since an earlier state of the same series; unchanged series are left out."""
    return {
        key: tuple(map(sub, numbers, earlier[key])) if key in earlier else numbers
        for key, numbers in series.items()
        if earlier.get(key) != numbers
    }


def lasting(series: Series) -> dict[Key, Numbers]:
    """Return the series without gauges: what remains of a worker that no longer runs."""
    return {key: numbers for key, numbers in series.items() if BY_NAME[key[0]].kind != "gauge"}


def limited(series: Mapping[Key, Numbers], key: Key) -> Key:
    """Return the key to count under: the given one, or OTHER's when the metric already has MAX_SERIES series."""
    if key in series or sum(known[0] == key[0] for known in series) < MAX_SERIES:
        return key
    return _other(key)


def dump(series: Series) -> str:
    """Return the series as JSON."""
    return json.dumps([[list(key), list(numbers)] for key, numbers in series.items()], separators=(",", ":"))


def load(text: str) -> dict[Key, Numbers]:
    """Return the series that `dump` wrote, without metrics (or buckets) that no longer exist."""
    found: Iterable[tuple[list[str], list[float]]] = json.loads(text)
    return {tuple(key): tuple(numbers) for key, numbers in found if _fits(key, numbers)}


def _other(key: Key) -> Key:
    return (key[0], *(OTHER for _ in key[1:]))


def _fits(key: list[str], numbers: list[float]) -> bool:
    metric = BY_NAME.get(key[0])
    return metric is not None and len(key) == len(metric.labels) + 1 and len(numbers) == len(observed(metric, 0))
