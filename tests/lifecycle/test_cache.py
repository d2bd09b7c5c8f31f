"""The SIEVE cache against the paper's algorithm, written naively."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lifecycle.loader.cache import SieveCache


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


@settings(max_examples=400)
@example(capacity=2, steps=[("put", 1), ("get", 1), ("put", 2), ("put", 0), ("put", 2)])
@given(capacity=st.integers(1, 5), steps=steps)
def test_it_keeps_what_sieve_keeps(capacity: int, steps: list[tuple[str, int]]) -> None:
    """Whatever is asked in whatever order, it holds the same values and counts its hits."""
    cache, model = SieveCache[int, int](capacity), NaiveSieve(capacity)
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
    cache = SieveCache[str, int](3)
    cache.put("hot", 1)
    for number in range(20):
        cache.get("hot")
        cache.put(f"scanned-{number}", number)

    assert cache.get("hot") == 1


def test_a_cache_holds_something() -> None:
    """A capacity below one is a mistake."""
    with pytest.raises(ValueError, match="at least 1"):
        SieveCache[str, int](0)
