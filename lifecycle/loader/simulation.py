"""Simulates caches: replays recorded or generated requests with a policy, and computes optima for comparison. Pure."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

from kernel.lazy_dataclass import dataclass
from lifecycle.loader.eviction_policies import Policy, PolicyName, make_policy

_ENOUGH = 0.01
"""Least gain in hit rate (share of requests) for which a larger cache is worth its memory."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Result of a replay.

    Attributes:
        requests: Number of requests.
        hits: Requests that found their key.
        evictions: Keys removed for lack of space.
    """

    requests: int
    hits: int
    evictions: int

    @property
    def hit_rate(self) -> float | None:
        """Hits over requests, 0-1; None without requests."""
        return self.hits / self.requests if self.requests else None


def replay(
    requests: Iterable[Hashable], policy: PolicyName, capacity: int, *, held: Sequence[Hashable] = (), workers: int = 1
) -> Replay:
    """Return the result of caches with this policy.

    Args:
        requests: The requested keys, in order.
        policy: The policy of each cache.
        capacity: The size of each cache.
        held: Keys preloaded into each cache before the first request, as by `AgentCache.put_if_room`.
        workers: Number of caches; requests go to them round-robin.

    Raises:
        ValueError: The capacity or the number of workers is below 1, or the policy is unknown.
    """
    if workers < 1:
        msg = "there must be at least 1 worker"
        raise ValueError(msg)
    caches: list[Policy[Hashable]] = [make_policy(policy, capacity) for _ in range(workers)]
    for cache in caches:
        for key in list(dict.fromkeys(held))[:capacity]:
            cache.add(key)
            if key in cache:
                cache.touch(key)
    count = hits = evictions = 0
    for count, key in enumerate(requests, 1):
        cache = caches[count % workers]
        if key in cache:
            cache.touch(key)
            hits += 1
        else:
            evictions += cache.add(key) is not None
    return Replay(count, hits, evictions)


def clairvoyant(requests: Sequence[Hashable], capacity: int) -> Replay:
    """Return the best possible result of any policy: evict the key whose next request is latest (Belady, 1966).

    A key whose next request is later than those of all present keys is not added.
    """
    following: list[float] = [0.0] * len(requests)
    upcoming: dict[Hashable, int] = {}
    for at in range(len(requests) - 1, -1, -1):
        following[at] = upcoming.get(requests[at], float("inf"))
        upcoming[requests[at]] = at
    held: dict[Hashable, float] = {}
    latest: list[tuple[float, int]] = []
    hits = evictions = 0
    for at, key in enumerate(requests):
        hits += key in held
        held[key] = following[at]
        heapq.heappush(latest, (-following[at], at))
        while len(held) > capacity:
            when, number = heapq.heappop(latest)
            victim = requests[number]
            if held.get(victim) == -when:
                del held[victim]
                evictions += 1
    return Replay(len(requests), hits, evictions)


def static(requests: Sequence[Hashable], capacity: int) -> Replay:
    """Return the result of a fixed cache with the most requested keys."""
    counts = Counter(requests)
    return Replay(len(requests), sum(count for _, count in counts.most_common(capacity)), 0)


def fitting_capacity(requests: Sequence[Hashable], policy: PolicyName, least: int, most: int) -> int:
    """Return the smallest capacity from `least` to `most` whose hit rate is within one point of that of `most`.

    Capacities are tried in steps of a quarter.

    Raises:
        ValueError: `least` is below 1 or above `most`.
    """
    if not 1 <= least <= most:
        msg = "least must be from 1 to most"
        raise ValueError(msg)
    best = replay(requests, policy, most).hit_rate or 0.0
    capacity = least
    while capacity < most and (replay(requests, policy, capacity).hit_rate or 0.0) < best - _ENOUGH:
        capacity = min(most, max(capacity + 1, capacity * 5 // 4))
    return capacity
