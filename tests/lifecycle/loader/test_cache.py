"""The cache: SIEVE against the paper's algorithm, written naively, and what every policy keeps to."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lifecycle.loader.cache import AgentCache
from lifecycle.loader.eviction_policies import POLICIES, PolicyName
from tests.lifecycle.loader.requests import SLOW


class NaiveSieve:
    """SIEVE as the paper draws it: a list from the oldest to the newest, a mark each, and a hand."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.entries: list[list[int]] = []  # [key, value, mark]
        self.hand: int | None = None  # the key the hand points at; None for the oldest

    def get(self, key: int) -> int | None:
        for entry in self.entries:
            if entry[0] == key:
                entry[2] = 1
                return entry[1]
        return None

    def put(self, key: int, value: int) -> None:
        for entry in self.entries:
            if entry[0] == key:
                entry[1] = value
                return
        if len(self.entries) == self.capacity:
            self._evict()
        self.entries.append([key, value, 0])

    def drop(self, key: int) -> None:
        at = self._at(key)
        if at is not None:
            self._remove(at)

    def _evict(self) -> None:
        at = self._at(self.hand) or 0
        while self.entries[at][2]:
            self.entries[at][2] = 0
            at = (at + 1) % len(self.entries)
        self.hand = self.entries[at][0]
        self._remove(at)

    def _remove(self, at: int) -> None:
        if self.entries[at][0] == self.hand:
            self.hand = self.entries[at + 1][0] if at + 1 < len(self.entries) else None
        del self.entries[at]

    def _at(self, key: int | None) -> int | None:
        return next((at for at, entry in enumerate(self.entries) if entry[0] == key), None)


steps = st.lists(st.tuples(st.sampled_from(["get", "put", "put", "drop"]), st.integers(0, 7)), max_size=80)


@settings(SLOW, max_examples=400)
@example(capacity=2, steps=[("put", 1), ("get", 1), ("put", 2), ("put", 0), ("put", 2)])
@given(capacity=st.integers(1, 5), steps=steps)
def test_it_keeps_what_sieve_keeps(capacity: int, steps: list[tuple[str, int]]) -> None:
    """Whatever is asked in whatever order, it holds the same values and counts its hits."""
    cache, model = AgentCache[int, int](capacity), NaiveSieve(capacity)
    asked = found = 0
    for number, (what, key) in enumerate(steps):
        if what == "get":
            value = model.get(key)
            asked, found = asked + 1, found + (value is not None)
            assert cache.get(key) == value
        elif what == "put":
            cache.put(key, number)
            model.put(key, number)
        else:
            cache.drop(key)
            model.drop(key)
        assert len(cache) == len(model.entries) <= capacity

    assert (cache.hits, cache.misses) == (found, asked - found)
    assert {entry[0]: cache.get(entry[0]) for entry in model.entries} == {e[0]: e[1] for e in model.entries}


def test_what_is_used_outlives_what_is_only_passed_through() -> None:
    """A scan of new keys evicts itself, not the key that is asked for again and again."""
    cache = AgentCache[str, int](3)
    cache.put("hot", 1)
    for number in range(20):
        cache.get("hot")
        cache.put(f"scanned-{number}", number)

    assert cache.get("hot") == 1


def test_a_cache_holds_something() -> None:
    """A capacity below one is a mistake."""
    with pytest.raises(ValueError, match="at least 1"):
        AgentCache[str, int](0)
    with pytest.raises(ValueError, match="at least 1"):
        AgentCache[str, int](1).resize(0)


def test_a_policy_that_does_not_exist_is_named() -> None:
    """With those that do."""
    with pytest.raises(ValueError, match="no eviction policy 'mru'; there are sieve, lru"):
        AgentCache[str, int](1, "mru")  # pyright: ignore[reportArgumentType] - as a setting may say it


actions = st.lists(
    st.tuples(st.sampled_from(["get", "put", "put", "room", "drop", "resize"]), st.integers(1, 8)), max_size=120
)


@pytest.mark.parametrize("policy", POLICIES)
@settings(SLOW, max_examples=150)
@given(capacity=st.integers(1, 6), actions=actions)
def test_whatever_is_asked_no_value_is_lost_unseen(
    policy: PolicyName, capacity: int, actions: list[tuple[str, int]]
) -> None:
    """Never more than the capacity is held, and every value that is not held any more was handed out as it left."""
    left: list[tuple[int, int]] = []
    cache = AgentCache[int, int](capacity, policy, lambda key, value, _: left.append((key, value)))
    values: dict[int, int] = {}
    for number, (what, key) in enumerate(actions):
        if what == "get":
            assert cache.get(key) == values.get(key)
        elif what == "put" or (what == "room" and (key in values or len(cache) < cache.capacity)):
            left_before = len(left)
            if what == "room":
                assert cache.put_if_room(key, number) == (key in cache)
            else:
                cache.put(key, number)
            values[key] = number
            assert len(left) - left_before <= 1
        elif what == "room":
            assert not cache.put_if_room(key, number)
        elif what == "drop":
            cache.drop(key)
        else:
            cache.resize(key)
        for gone, value in left:
            assert values.pop(gone) == value
        left.clear()
        assert set(cache) == set(values)
        assert len(cache) == len(values) <= cache.capacity


def test_lru_takes_what_was_not_used_for_longest() -> None:
    """As the name says."""
    cache = AgentCache[str, int](2, "lru")
    cache.put("a", 1)
    cache.put("b", 2)
    cache.get("a")
    cache.put("c", 3)

    assert sorted(cache) == ["a", "c"]


@pytest.mark.parametrize("policy", ["sieve", "s3-fifo", "w-tinylfu"])
def test_a_scan_does_not_wash_out_what_is_used(policy: PolicyName) -> None:
    """Of ten agents in use, at least eight outlive a thousand that are asked for once; with LRU none would."""
    cache = AgentCache[int, int](20, policy)
    for _ in range(5):
        for key in range(10):
            if cache.get(key) is None:
                cache.put(key, key)
    for key in range(100, 1100):
        if cache.get(key) is None:
            cache.put(key, key)

    assert sum(key in cache for key in range(10)) >= 8


@pytest.mark.parametrize("policy", POLICIES)
def test_a_drop_costs_the_same_however_many_are_held(policy: PolicyName) -> None:
    """Half a million adds and drops of a cache of a hundred thousand end within the test's time; a list would not."""
    cache = AgentCache[int, int](100_000, policy)
    for key in range(200_000):
        cache.put(key, key)
    for key in tuple(cache)[::2]:
        cache.drop(key)

    assert len(cache) == 50_000
