"""What a cache would have hit: recorded or made-up requests replayed over a policy, and the optima beside it. Pure."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from lifecycle.loader.policies import Policy, PolicyName, make_policy

_ENOUGH = 0.01
"""A larger cache is worth its memory only if it hits more often by this share of the requests."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay came to.

    Attributes:
        requests: How many were replayed.
        hits: How many found their key held.
        evictions: Keys that went for want of room.
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
    """Return what caches of the policy would have come to.

    Args:
        requests: The keys asked for, in order.
        policy: The policy of each cache.
        capacity: The size of each.
        held: Keys that each is preloaded with before the first request, as `AgentCache.put_if_room` does.
        workers: Number of caches; requests go to them in turn.

    Raises:
        ValueError: The capacity or the number of workers is below 1, or there is no such policy.
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
    """Return the most that any policy could have hit: the key that is next asked for latest goes (Belady, 1966).

    A key that is asked for later than all that are held is not taken up at all.
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
    """Return what a cache would have hit that held the keys asked for most often from the beginning, and no others."""
    counts = Counter(requests)
    return Replay(len(requests), sum(count for _, count in counts.most_common(capacity)), 0)


def fitting_capacity(requests: Sequence[Hashable], policy: PolicyName, least: int, most: int) -> int:
    """Return the smallest capacity from `least` to `most` that hits as often as `most` does, within one point.

    Capacities are tried in steps of a quarter.

    Raises:
        ValueError: `least` is below 1 or above `most`.
    """
    if not 1 <= least <= most:
        msg = "the least capacity is at least 1 and at most the most"
        raise ValueError(msg)
    best = replay(requests, policy, most).hit_rate or 0.0
    capacity = least
    while capacity < most and (replay(requests, policy, capacity).hit_rate or 0.0) < best - _ENOUGH:
        capacity = min(most, max(capacity + 1, capacity * 5 // 4))
    return capacity
