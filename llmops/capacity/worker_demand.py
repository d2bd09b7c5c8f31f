"""What a worker is asked for in a second, so that its slice has room for what comes before its next request."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from llmops.capacity.pools import NOTHING, Amounts

_SPARE = 1.25


@dataclass(slots=True)
class Demand:
    """The amounts asked for since the last request, and their smoothed rate per second."""

    asked: dict[str, Amounts] = field(default_factory=dict[str, Amounts])
    a_second: dict[str, tuple[float, float, float]] = field(default_factory=dict[str, tuple[float, float, float]])
    since: float = 0.0

    def add(self, share: str, need: Amounts) -> None:
        """Note that something was asked for."""
        self.asked[share] = self.asked.get(share, NOTHING) + need

    def next(self, now: float) -> None:
        """Begin to count anew, as at each request to the pool."""
        passed = max(0.2, now - self.since)
        for share in {*self.asked, *self.a_second}:
            new = tuple(part / passed for part in self.asked.get(share, NOTHING).parts)
            old = self.a_second.get(share, (0.0, 0.0, 0.0))
            self.a_second[share] = tuple(a / 2 + b / 2 for a, b in zip(old, new, strict=True))  # pyright: ignore[reportArgumentType] - of three
        self.a_second = {share: parts for share, parts in self.a_second.items() if max(parts) > 0.01}
        self.asked, self.since = {}, now

    def within(self, seconds: float) -> Mapping[str, Amounts]:
        """Return the amounts likely to be asked for within so many seconds."""
        return {
            share: Amounts(*(math.ceil(part * seconds * _SPARE) for part in parts))
            for share, parts in self.a_second.items()
        }
