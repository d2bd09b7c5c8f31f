"""Strategies that workers are divided between, so that they can be compared on the same traffic. Rules over values."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from lifecycle.loader.policies import PolicyName

_SURE = 1.96
"""Standard deviations on each side that 95 of 100 samples lie within."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a worker keeps agents.

    Attributes:
        policy: Which agent goes when there is no room.
        preload_share: Share of the places that it may fill at first with agents nobody has asked it for, 0-1.
    """

    policy: PolicyName
    preload_share: float

    @property
    def name(self) -> str:
        """As the setting has it: `sieve/0.8`."""
        return f"{self.policy}/{self.preload_share:g}"


def read_strategies(text: str, preload_share: float) -> Sequence[Strategy]:
    """Return the strategies of a comma list, each `policy` or `policy/share`.

    Args:
        text: As the setting LOADER_STRATEGIES has it.
        preload_share: The share of those that name none.
    """
    found: dict[str, Strategy] = {}
    for one in filter(None, (part.strip() for part in text.split(","))):
        policy, _, share = one.partition("/")
        strategy = Strategy(cast("PolicyName", policy), float(share) if share else preload_share)
        found[strategy.name] = strategy
    return list(found.values())


def strategy_of(worker: str, strategies: Sequence[Strategy]) -> Strategy:
    """Return the worker's strategy: drawn evenly, and the same whenever it is asked. There must be one."""
    number = int.from_bytes(hashlib.sha256(worker.encode()).digest()[:8], "big")
    return strategies[number % len(strategies)]


@dataclass(frozen=True, slots=True)
class Compared:
    """What a strategy came to.

    Attributes:
        strategy: Its name.
        hits: Look-ups that took no I/O.
        misses: Look-ups that did.
        least: Lower end of where its hit rate lies with 95 % confidence, 0-1.
        most: Upper end. Two strategies whose ranges overlap are not told apart yet.
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
    """Return the strategies by hit rate, highest first; those without look-ups are left out.

    Args:
        counts: Hits and misses by strategy.
    """
    found = [Compared(name, hits, misses, *_range(hits, misses)) for name, (hits, misses) in counts.items()]
    return sorted((one for one in found if one.hits + one.misses), key=lambda one: (-one.hit_rate, one.strategy))


def _range(hits: int, misses: int) -> tuple[float, float]:
    """Return where the true share lies with 95 % confidence (Wilson, JASA 22, 1927)."""
    count = hits + misses
    if not count:
        return 0.0, 1.0
    share, square = hits / count, _SURE**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = _SURE / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)
