"""When timers that one function runs are due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.settings import InvalidSettings
from lifecycle.schedules.schedule_rules import Cron, covering, is_due, next_due_after

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
EXPRESSIONS = ["35 * * * * *", "0 */5 * * * *", "0 4-59/10 * * * *", "15 20 8 * * 1", "0 0 0 1 1 *", "7 * * * *"]


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@pytest.mark.parametrize(
    ("schedules", "expected"),
    [
        (["35 * * * * *", "55 * * * * *", "0 */5 * * * *"], "55 * * * * *"),
        (["0 */5 * * * *", "30 */5 * * * *", "0 2-59/5 * * * *"], "30 */5,2-59/5 * * * *"),
        (["0 0 9 * * 1-5", "0 0 18 * * *"], "0 0 9,18 * * *"),
        (["*/30 * * * * *", "0 * * * * *"], "*/30,0 * * * * *"),
        (["*/5 * * * *"], "0 */5 * * * *"),
        (["0 0 0 1 1 *", "0 0 0 1 1 *"], "0 0 0 1 1 *"),
    ],
)
def test_the_function_runs_as_often_as_its_timers_need(schedules: list[str], expected: str) -> None:
    """Once a minute where each needs that at most; seldom where all are seldom due."""
    assert covering({str(number): text for number, text in enumerate(schedules)}) == expected


@pytest.mark.parametrize("wrong", ["", "* * * *", "0 0 24 * * *", "0 60 * * * *", "0 ? * * * *", "00:05:00", "hourly"])
def test_a_schedule_that_is_none_is_refused_by_the_name_of_its_setting(wrong: str) -> None:
    """When the app starts, and not when the timer would be due."""
    with pytest.raises(InvalidSettings, match="NOTIFY_SCHEDULE"):
        covering({"REPORT_SCHEDULE": "0 */5 * * * *", "NOTIFY_SCHEDULE": wrong})


@given(st.lists(st.sampled_from(EXPRESSIONS), min_size=1), st.integers(0, 86_400 * 400))
def test_no_time_of_any_timer_is_later_than_the_next_time_of_the_function(chosen: list[str], later: int) -> None:
    """What is due in a minute in which the function runs is run then: its second is the last of all."""
    function = Cron(covering({str(number): text for number, text in enumerate(chosen)}), "UTC")
    now = NOON + seconds(later)
    for expression in chosen:
        due = next(Cron(" ".join(["0", *expression.split()][-6:]), "UTC").after(now))
        runs = next(function.after(due - seconds(1)))
        assert runs - due < timedelta(minutes=1)


def test_a_timer_is_due_once_for_what_it_has_missed() -> None:
    """However much that is; and not again before its next time, also where it failed."""
    assert is_due("0 */5 * * * *", NOON - seconds(1), NOON)
    assert is_due("0 */5 * * * *", NOON - timedelta(days=3), NOON)
    assert not is_due("0 */5 * * * *", NOON, NOON + seconds(299))
    assert is_due("0 */5 * * * *", NOON, NOON + seconds(300))


def test_a_timer_that_never_ran_begins_with_its_next_time() -> None:
    """A new app does not do at once what is due once a year."""
    assert not is_due("0 0 0 1 1 *", None, NOON)
    assert is_due("35 * * * * *", None, NOON)


@pytest.mark.parametrize(
    ("expression", "began", "expected"),
    [
        ("0 */5 * * * *", NOON, timedelta(minutes=5)),
        ("35 * * * * *", NOON, timedelta(seconds=35)),
        ("0 */5 * * * *", NOON - timedelta(milliseconds=20), timedelta(minutes=5, milliseconds=20)),
        ("0 0 8 * * 1-5", datetime(2026, 11, 27, 8, tzinfo=UTC), timedelta(days=3)),
        ("0 */10 0-5 * * *", datetime(2026, 11, 30, 5, 50, tzinfo=UTC), timedelta(hours=18, minutes=10)),
    ],
)
def test_when_a_timer_is_due_again_follows_from_its_schedule(
    expression: str, began: datetime, expected: timedelta
) -> None:
    """So that one which has stopped is noticed, and one that rests at night or at the weekend is not taken for it."""
    assert next_due_after(expression, began) == expected
