"""Requests of agents as they come in life: some agents are asked for much more often than others."""

from __future__ import annotations

import math
import random
from functools import cache

from hypothesis import HealthCheck, settings

AGENTS = 1000
SLOW = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
"""For properties: a busy machine makes no example wrong."""


@cache
def zipf(exponent: float, count: int, seed: int = 1, agents: int = AGENTS) -> list[int]:
    """Return requests whose n-th most popular agent is asked for in proportion to n to the minus exponent."""
    chance = random.Random(seed)
    names = list(range(agents))
    chance.shuffle(names)
    return chance.choices(names, [1 / (rank + 1) ** exponent for rank in range(agents)], k=count)


def scanned(count: int) -> list[int]:
    """Return Zipf 1.0, with every agent asked for once in a row five times in between."""
    part = count // 5
    return [key for begin in range(0, count, part) for key in [*zipf(1.0, count)[begin : begin + part], *range(AGENTS)]]


def shifting(count: int) -> list[int]:
    """Return Zipf 1.0 whose popular agents are others in every fifth of it."""
    return [key for seed in range(5) for key in zipf(1.0, count // 5, seed + 1)]


def daily(count: int) -> list[int]:
    """Return two populations of Zipf 1.0 that take turns five times, smoothly, as by day and by night."""
    chance = random.Random(3)
    day, night = zipf(1.0, count, 1), zipf(1.0, count, 7)
    shares = [0.5 + 0.5 * math.sin(at / count * 10 * math.pi) for at in range(count)]
    return [day[at] if chance.random() < shares[at] else night[at] for at in range(count)]
