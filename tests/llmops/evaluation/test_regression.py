"""Telling a worse version from chance."""

from __future__ import annotations

import random
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops.evaluation.score_distribution import FEWEST, ScoreDistribution, compare, probability_equal

VALUES = st.lists(st.integers(0, 100), max_size=30)


def moments(values: list[int]) -> ScoreDistribution:
    return reduce(ScoreDistribution.__add__, map(ScoreDistribution.of, values), ScoreDistribution())


@given(first=VALUES, second=VALUES)
def test_moments_add_up_and_are_taken_away_exactly(first: list[int], second: list[int]) -> None:
    together = moments(first) + moments(second)

    assert together == moments(first + second)
    assert together + (-moments(second)) == moments(first)


def test_moments_are_those_of_the_textbook() -> None:
    found = moments([2, 4, 4, 4, 5, 5, 7, 9])

    assert found.mean == 5
    assert found.variance == pytest.approx(32 / 7)
    assert ScoreDistribution().mean is None
    assert ScoreDistribution.of(3).variance is None


def test_the_p_value_is_that_of_the_normal_distribution() -> None:
    """Means 1.96 standard errors apart: 5 %."""
    one = ScoreDistribution(
        100, 5000, 5000 * 50 + 99 * 100
    )  # mean 50, variance 100: standard error of the difference 1.414
    other = ScoreDistribution(100, 5277, round(5277 * 52.77) + 99 * 100)  # mean 52.77

    assert probability_equal(one, other) == pytest.approx(0.05, abs=0.001)
    assert probability_equal(ScoreDistribution.of(1), one) is None


@pytest.mark.parametrize(("new_mean", "verdict"), [(60, "worse"), (90, "better"), (75, "same")])
def test_a_difference_that_chance_does_not_make_is_reported(new_mean: int, verdict: str) -> None:
    rng = random.Random(1)
    base = moments([round(rng.gauss(75, 8)) for _ in range(80)])
    new = moments([round(rng.gauss(new_mean, 8)) for _ in range(80)])

    changes = compare({"topics": base, "overall": base}, {"overall": new})

    assert [change.part for change in changes] == ["overall", "topics"]
    assert changes[0].verdict == verdict
    assert changes[1].verdict == "too_few"


def test_versions_that_answer_alike_are_rarely_told_apart() -> None:
    """The rate of false alarms is at most what is said."""
    rng = random.Random(2)
    alarms = 0
    for _ in range(400):
        base, new = (moments([round(rng.gauss(75, 20)) for _ in range(60)]) for _ in range(2))
        alarms += compare({"overall": base}, {"overall": new})[0].verdict in ("worse", "better")

    assert alarms / 400 < 0.08


def test_a_few_answers_say_nothing() -> None:
    few = moments([0] * (FEWEST - 1))

    assert compare({"overall": few}, {"overall": moments([100] * 100)})[0].verdict == "too_few"


def test_equal_scores_are_the_same_however_many() -> None:
    same = moments([100] * 50)

    assert compare({"overall": same}, {"overall": same})[0].verdict == "same"
