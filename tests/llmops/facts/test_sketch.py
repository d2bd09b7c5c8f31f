"""Quantiles within their stated error, whatever the values and however they were added up."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.codec import JsonCodec
from llmops.facts.quantile_sketch import ACCURACY, Sketch

DAY_MS = 86_400_000
values = st.lists(st.one_of(st.integers(0, 50), st.integers(0, DAY_MS)), min_size=1, max_size=300)
shares = st.sampled_from([0.0, 0.01, 0.5, 0.95, 0.99, 1.0]) | st.floats(0, 1)


@given(values=values, share=shares)
def test_a_quantile_is_as_exact_as_stated(values: list[int], share: float) -> None:
    """At most 2 % off the value of the nearest rank: of few values, the 95th percentile is the largest."""
    exact = sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
    found = Sketch.of(values).quantile(share)

    assert found is not None
    assert abs(found - exact) <= ACCURACY * exact + 1e-6


@given(parts=st.lists(values, max_size=6))
def test_added_up_sketches_are_the_sketch_of_all(parts: list[list[int]]) -> None:
    """In any order, and after they were stored."""
    codec = JsonCodec(Sketch)
    everything = Sketch.of(value for part in parts for value in part)
    forward = sum(map(Sketch.of, parts), Sketch())
    backward = sum((codec.load(codec.dump(Sketch.of(part))) for part in reversed(parts)), Sketch())

    assert forward == backward == everything
    assert everything.count == sum(map(len, parts))


@given(values=values, limit=st.integers(0, DAY_MS))
def test_the_share_within_a_limit_is_as_exact_as_stated(values: list[int], limit: int) -> None:
    """It is that of a limit at most one bucket higher."""
    found = Sketch.of(values).share_within(limit)
    least = sum(value <= limit for value in values) / len(values)
    most = sum(value <= limit * (1 + 2.1 * ACCURACY) + 1 for value in values) / len(values)

    assert found is not None
    assert least <= found <= most


def test_without_values_there_is_nothing_to_say() -> None:
    """None, not zero."""
    assert Sketch().quantile(0.5) is None
    assert Sketch().share_within(10) is None
    assert Sketch.of([-5]).quantile(0.5) == 0


@pytest.mark.parametrize("count", [10, 1_000_000])
def test_it_does_not_grow_with_the_number_of_values(count: int) -> None:
    """Only with their range, and little."""
    assert len(Sketch.of(range(1, count, max(1, count // 50_000))).buckets) <= 460
