"""Quantiles of many durations from a few counters that can be added: DDSketch with logarithmic buckets.

The relative error of a quantile is at most ACCURACY (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile
sketch with relative-error guarantees", VLDB 2019, arxiv.org/abs/1908.10693, proposition 3).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import field

from kernel.lazy_dataclass import dataclass

ACCURACY = 0.02
"""Largest relative error of a quantile."""
_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GAMMA = math.log(_GAMMA)


@dataclass(frozen=True, slots=True)
class Sketch:
    """Number of values in each bucket; bucket i holds those above gamma^(i-1) up to gamma^i.

    Attributes:
        zeros: Number of zeros.
        buckets: Counts of the other values by bucket. From 1 ms to a day there are fewer than 460 buckets.
    """

    zeros: int = 0
    buckets: Mapping[int, int] = field(default_factory=dict[int, int])

    @staticmethod
    def of(values: Iterable[int]) -> Sketch:
        """Return the sketch of whole numbers; a negative one (a clock was set back) counts as 0."""
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
        """The number of values."""
        return self.zeros + sum(self.buckets.values())

    @property
    def mean(self) -> float | None:
        """The mean of the values, exact to ACCURACY; None when there are none."""
        count = self.count
        return sum(n * _middle(bucket) for bucket, n in self.buckets.items()) / count if count else None

    def quantile(self, share: float) -> float | None:
        """Return the smallest value that at least this share (0-1) of the values do not exceed; None without values.

        By the nearest-rank method: the 0.95 quantile of four values is the largest.
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
        """Return the share (0-1) of the values up to the limit, within the accuracy; None without values."""
        count = self.count
        if not count:
            return None
        if limit < 1:
            return self.zeros / count
        last = math.ceil(math.log(limit) / _LOG_GAMMA)
        return (self.zeros + sum(n for bucket, n in self.buckets.items() if bucket <= last)) / count


def _middle(bucket: int) -> float:
    """Return the value whose relative distance to every value of the bucket is at most ACCURACY."""
    return 2 * _GAMMA**bucket / (_GAMMA + 1)
