"""Strategies that workers are divided between, to compare them on the same traffic. Pure rules."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import cast

from kernel.lazy_dataclass import dataclass
from lifecycle.loader.eviction_policies import PolicyName

_SURE = 1.96
"""Standard deviations of a two-sided 95 % confidence interval."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """Cache settings of a worker.

    Attributes:
        policy: Name of the eviction policy.
        preload_share: Share of places, 0-1, for preloaded agents at first.
    """

    policy: PolicyName
    preload_share: float

    @property
    def name(self) -> str:
        """The name in the setting's form: `sieve/0.8`."""
        return f"{self.policy}/{self.preload_share:g}"


def read_strategies(text: str, preload_share: float) -> Sequence[Strategy]:
    """Return the strategies of a comma-separated list, each `policy` or `policy/share`.

    Args:
        text: The setting LOADER_STRATEGIES.
        preload_share: The share of those without one.
    """
    found: dict[str, Strategy] = {}
    for one in filter(None, (part.strip() for part in text.split(","))):
        policy, _, share = one.partition("/")
        strategy = Strategy(cast("PolicyName", policy), float(share) if share else preload_share)
        found[strategy.name] = strategy
    return list(found.values())


def strategy_of(worker: str, strategies: Sequence[Strategy]) -> Strategy:
    """Return the worker's strategy: evenly distributed, and always the same for a worker. There must be one."""
    number = int.from_bytes(hashlib.sha256(worker.encode()).digest()[:8], "big")
    return strategies[number % len(strategies)]


@dataclass(frozen=True, slots=True)
class Compared:
    """Result of a strategy.

    Attributes:
        strategy: Its name.
        hits: Look-ups answered without I/O.
        misses: Look-ups that needed I/O.
        least: Lower end of the 95 % confidence interval of its hit rate, 0-1.
        most: Upper end, 0-1. Strategies with overlapping intervals cannot be distinguished yet.
    """

    strategy: str
    hits: int
    misses: int
    least: float
    most: float

    @property
    def hit_rate(self) -> float:
        """Hits over look-ups, 0-1."""
        return self.hits / (self.hits + self.misses)


def compared(counts: Mapping[str, tuple[int, int]]) -> Sequence[Compared]:
    """Return the strategies by hit rate, highest first, without those without look-ups.

    Args:
        counts: Hits and misses by strategy.
    """
    found = [Compared(name, hits, misses, *_range(hits, misses)) for name, (hits, misses) in counts.items()]
    return sorted((one for one in found if one.hits + one.misses), key=lambda one: (-one.hit_rate, one.strategy))


def _range(hits: int, misses: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of the share (Wilson, JASA 22, 1927)."""
    count = hits + misses
    if not count:
        return 0.0, 1.0
    share, square = hits / count, _SURE**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = _SURE / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)
