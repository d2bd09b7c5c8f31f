"""Quantiles of many durations from a few counters that add up: DDSketch with logarithmic buckets.

A quantile is at most ACCURACY off, relative to the true value (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable
quantile sketch with relative-error guarantees", VLDB 2019, arxiv.org/abs/1908.10693, proposition 3).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

ACCURACY = 0.02
"""Largest relative error of a quantile."""
_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GAMMA = math.log(_GAMMA)


@dataclass(frozen=True, slots=True)
class Sketch:
    """How many values fell into each bucket; bucket i holds those above gamma^(i-1) up to gamma^i.

    Attributes:
        zeros: Values of 0.
        buckets: The counts of the others by bucket. From 1 ms to a day there are fewer than 460.
    """

    zeros: int = 0
    buckets: Mapping[int, int] = field(default_factory=dict[int, int])

    @staticmethod
    def of(values: Iterable[int]) -> Sketch:
        """Return the sketch of whole numbers; a negative one, which only a clock set back makes, counts as 0."""
        zeros, buckets = 0, dict[int, int]()
        for value in values:
            if value <= 0:
                zeros += 1
            else:
                bucket = math.ceil(math.log(value) / _LOG_GAMMA)
                buckets[bucket] = buckets.get(bucket, 0) + 1
        return Sketch(zeros, buckets)

    def __add__(self, other: Sketch) -> Sketch:
        buckets = dict(self.buckets)
        for bucket, count in other.buckets.items():
            buckets[bucket] = buckets.get(bucket, 0) + count
        return Sketch(self.zeros + other.zeros, buckets)

    @property
    def count(self) -> int:
        """How many values there were."""
        return self.zeros + sum(self.buckets.values())

    @property
    def mean(self) -> float | None:
        """The mean of the values, exact to ACCURACY; None when there are none."""
        count = self.count
        return sum(n * _middle(bucket) for bucket, n in self.buckets.items()) / count if count else None

    def quantile(self, share: float) -> float | None:
        """Return the value below or at which this share (0-1) of the values lie; None when there are none.

        It is that of the nearest rank: of four values, 95 % lie at or below the largest.
        """
        count = self.count
        if not count:
            return None
        rank, seen = max(0, math.ceil(share * count) - 1), self.zeros
        if rank < seen:
            return 0.0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if rank < seen:
                return _middle(bucket)
        msg = "a rank beyond the count"
        raise AssertionError(msg)

    def share_within(self, limit: float) -> float | None:
        """Return the share (0-1) of the values up to the limit, which is taken as exactly as the accuracy allows."""
        count = self.count
        if not count:
            return None
        if limit < 1:
            return self.zeros / count
        last = math.ceil(math.log(limit) / _LOG_GAMMA)
        return (self.zeros + sum(n for bucket, n in self.buckets.items() if bucket <= last)) / count


def _middle(bucket: int) -> float:
    """Return the value that is at most ACCURACY off from all of the bucket's."""
    return 2 * _GAMMA**bucket / (_GAMMA + 1)
