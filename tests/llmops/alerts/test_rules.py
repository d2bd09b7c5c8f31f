"""When a rule fires and resolves, and which rules are none."""

from __future__ import annotations

import itertools
import math
from datetime import datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kernel.errors import InvalidInput
from llmops.alerts.alert_metrics import FIGURES, WHOLE_WORKSPACE, Metric, value_of, written
from llmops.alerts.alert_rules import AlertRule, RuleStatus, State, alert_name, breached, closed, evaluated
from llmops.facts.performance_summary import PerformanceSummary
from tests.lifecycle.doubles import NOW


def rule(**fields: Any) -> AlertRule:
    values = {"metric": "error_rate", "condition": "gt", "threshold": 0.5, "cooldown_s": 600}
    return AlertRule.model_validate(values | fields)


def play(declared: AlertRule, values: list[float | None], step: timedelta = timedelta(minutes=1)) -> list[State]:
    """Return the state after each evaluation."""
    state, states = State(RuleStatus.OK, NOW), list[State]()
    for n, value in enumerate(values):
        state = evaluated(declared, state, value, NOW + step * n)
        states.append(state)
    return states


def shown(states: list[State]) -> str:
    return "".join("!" if state.status is RuleStatus.FIRING else "." for state in states)


def test_it_fires_when_bad_and_resolves_when_not() -> None:
    """Since when is when it changed; every change is still to be told."""
    states = play(rule(), [0.1, 0.6, 0.7, 0.5])

    assert shown(states) == ".!!."
    assert [state.since for state in states] == [NOW + timedelta(minutes=n) for n in (0, 1, 1, 3)]
    assert [state.value for state in states] == [0.1, 0.6, 0.7, 0.5]
    assert states[1].unpublished
    assert states[3].unpublished


def test_it_does_not_fire_again_before_its_cooldown_is_over() -> None:
    """Counted from when it fired."""
    assert shown(play(rule(cooldown_s=300), [0.6, 0.1, 0.6, 0.1, 0.6, 0.6])) == "!....!"
    assert shown(play(rule(cooldown_s=0), [0.6, 0.1, 0.6])) == "!.!"


def test_it_can_be_told_to_resolve_only_well_below() -> None:
    """A figure that wavers around the threshold keeps it firing."""
    assert shown(play(rule(recover_at=0.3), [0.6, 0.4, 0.6, 0.31, 0.3])) == "!!!!."
    down = rule(metric="quality", condition="lt", threshold=60, recover_at=70)
    assert shown(play(down, [65, 59, 65, 69, 70])) == ".!!!."


def test_no_data_changes_nothing_and_is_said() -> None:
    """Neither fires nor resolves."""
    states = play(rule(), [None, 0.6, None, None, 0.1])

    assert shown(states) == ".!!!."
    assert [state.no_data for state in states] == [True, False, True, True, False]
    assert states[2].value == 0.6


@given(values=st.lists(st.none() | st.floats(0, 1), max_size=40), cooldown_s=st.integers(0, 600))
def test_any_history(values: list[float | None], cooldown_s: int) -> None:
    """It fires only on a bad value, never twice within the cooldown, and resolves only on a good one."""
    declared = rule(cooldown_s=cooldown_s, recover_at=0.4)
    before, fired = State(RuleStatus.OK, NOW), list[datetime]()
    for value, state in zip(values, play(declared, values), strict=True):
        if state.status is not before.status:
            assert value is not None
            assert state.unpublished
            if state.status is RuleStatus.FIRING:
                assert value > 0.5
                fired.append(state.since)
            else:
                assert value <= 0.4
        before = state
    assert all((b - a).total_seconds() >= cooldown_s for a, b in itertools.pairwise(fired))


def test_what_is_not_evaluated_any_more_does_not_fire() -> None:
    """Switched off, or removed."""
    (firing,) = play(rule(), [0.6])
    ended = closed(firing, NOW)

    assert (ended.status, ended.unpublished) == (RuleStatus.OK, True)
    assert closed(State(RuleStatus.OK, NOW), NOW) == State(RuleStatus.OK, NOW)


@pytest.mark.parametrize(
    ("condition", "below", "at", "above"),
    [
        ("gt", False, False, True),
        ("gte", False, True, True),
        ("lt", True, False, False),
        ("lte", True, True, False),
    ],
)
def test_conditions(condition: Any, below: bool, at: bool, above: bool) -> None:
    """Below, at and above the threshold."""
    assert [breached(condition, value, 1) for value in (0.9, 1, 1.1)] == [below, at, above]


@pytest.mark.parametrize(
    "wrong",
    [
        {"metric": "happiness"},
        {"condition": "eq"},
        {"threshold": math.nan},
        {"threshold": math.inf},
        {"threshold": "high"},
        {"window_s": 59},
        {"window_s": 10**7},
        {"cooldown_s": -1},
        {"min_runs": 0},
        {"severity": "fatal"},
        {"agent": "No Such!"},
        {"channels": ["x/y"]},
        {"recover_at": 0.6},
        {"metric": "quality", "condition": "lt", "threshold": 60, "recover_at": 50},
        {"metric": "drift", "agent": "bot"},
        {"unknown": 1},
    ],
)
def test_rules_that_are_none(wrong: dict[str, Any]) -> None:
    """Each is refused."""
    with pytest.raises(ValidationError):
        rule(**wrong)


@pytest.mark.parametrize("name", ["fired", "", "A", "a/b", "a" * 64])
def test_names_that_are_none(name: str) -> None:
    """One of them is the history's."""
    with pytest.raises(InvalidInput) as error:
        alert_name(name)
    assert error.value.code == "invalid_alert_name"


def test_every_metric_can_be_read_and_written() -> None:
    """Without runs, counts are 0 and the rest has no data; without data, a person is told so."""
    assert set(FIGURES) == set(get_args(Metric))
    for metric, figure in FIGURES.items():
        value = value_of(metric, PerformanceSummary(), 60, 1)
        silent = figure.rests_on_runs or metric == "wasted_share" or metric in WHOLE_WORKSPACE
        assert value == (None if silent else 0)
        assert written(metric, value)
        assert written(metric, 1.0)
    assert value_of("error_rate", PerformanceSummary(failed=4), 60, 5) is None
    assert value_of("error_rate", PerformanceSummary(failed=5), 60, 5) == 1
    assert value_of("runs_per_minute", PerformanceSummary(failed=5), 300, 5) == 1
    assert [written("error_rate", 0.5), written("latency_p95_ms", 1500), written("quality", None)] == [
        "50.0%",
        "1.50 s",
        "no data",
    ]
