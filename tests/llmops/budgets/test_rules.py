"""The rules of budgets: which limits apply to a call, over which counters, and what they allow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import InvalidInput
from llmops.budgets.budget_rules import (
    Amounts,
    AppliedLimit,
    Budget,
    CostAttribution,
    Counter,
    Limit,
    applying,
    check,
    granted,
    parse_scope,
    refusal_text,
)

NOW = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
RUN = "01900000-0000-7000-8000-000000000001"
WHO = CostAttribution("default", "bot", "chat", RUN, "ann")


def budget(scope: str, *limits: tuple[Any, Any, int]) -> Budget:
    return Budget(parse_scope(scope), tuple(Limit(*each) for each in limits))


@pytest.mark.parametrize("scope", ["workspace", "agent:bot", "user:ann@x.org", "session:chat", f"run:{RUN}", "user:*"])
def test_a_scope_is_read_as_it_is_written(scope: str) -> None:
    assert str(parse_scope(scope)) == scope


@pytest.mark.parametrize(
    "scope", ["", "agent", "agent:", "agent:A B", "run:*", "session:*", "workspace:x", "team:x", "agent:*:x", "run:1"]
)
def test_what_is_no_scope_is_refused(scope: str) -> None:
    with pytest.raises(InvalidInput):
        parse_scope(scope)


def test_each_period_has_its_counter_and_its_end() -> None:
    """The day and the month end at the same moment, on New Year's Eve."""
    found = applying(
        [budget("agent:bot", *((("calls"), period, 5) for period in ("run", "session", "day", "month", "total")))],
        WHO,
        NOW,
    )
    assert [each.counter for each in found] == [
        f"run:{RUN}",
        "session:chat",
        "agent:bot!2026-12-31",
        "agent:bot!2026-12",
        "agent:bot!total",
    ]
    year = datetime(2027, 1, 1, tzinfo=UTC)
    assert [each.resets_at for each in found] == [None, None, year, year, None]


def test_only_budgets_of_the_caller_apply() -> None:
    """Another agent's, user's, session's or run's do not; nobody in particular has no budget of a user."""
    others = ["agent:other", "user:bob", "session:other", "run:01900000-0000-7000-8000-000000000002"]
    assert applying([budget(scope, ("calls", "total", 1)) for scope in others], WHO, NOW) == []
    nobody = CostAttribution("default", "bot", "chat", RUN)
    assert applying([budget("user:*", ("calls", "day", 1))], nobody, NOW) == []


def test_one_users_budget_stands_instead_of_each_users() -> None:
    """Where both limit the same; another unit of the general one still counts."""
    each = budget("user:*", ("calls", "day", 5), ("tokens", "day", 100))
    own = budget("user:ann", ("calls", "day", 50))
    found = applying([each, own], WHO, NOW)

    assert {(a.scope, a.limit.unit, a.limit.amount) for a in found} == {
        ("user:ann", "calls", 50),
        ("user:ann", "tokens", 100),
    }


def test_of_two_over_the_same_counter_the_stricter_counts() -> None:
    """A limit per run of the agent and one of the workspace are over the same run."""
    found = applying([budget("workspace", ("usd", "run", 9)), budget("agent:bot", ("usd", "run", 5))], WHO, NOW)

    assert [(each.scope, each.limit.amount) for each in found] == [("agent:bot", 5)]


@pytest.mark.parametrize(
    ("scope", "limits"),
    [
        ("workspace", [("usd", "day", 1), ("usd", "day", 2)]),
        ("session:chat", [("usd", "session", 1), ("usd", "total", 2)]),
        (f"run:{RUN}", [("usd", "run", 1), ("usd", "total", 2)]),
        (f"run:{RUN}", [("usd", "day", 1)]),
    ],
)
def test_limits_that_overlap_or_mean_nothing_are_refused(scope: str, limits: Any) -> None:
    """And the error says which."""
    with pytest.raises(InvalidInput) as caught:
        check(budget(scope, *limits))
    assert caught.value.code == "invalid_budget"
    assert next(iter(caught.value.fields)).startswith("/limits/")


@given(st.integers(1, 1000), st.integers(0, 1200), st.integers(0, 1200), st.integers(0, 1200))
def test_what_is_granted_never_exceeds_the_limit(amount: int, spent: int, reserved: int, need: int) -> None:
    """Whatever is spent and reserved already."""
    applied = AppliedLimit("workspace", Limit("tokens", "total", amount), "c", None)
    counter = Counter(Amounts(tokens=spent), Amounts(tokens=reserved))
    given_, refusals = granted(Amounts(1, need), [applied], {"c": counter})

    assert bool(refusals) == (spent + reserved + need > amount)
    if refusals:
        assert given_ == Amounts()
        assert refusals[0].full == (spent + need > amount)
        assert "workspace" in refusal_text(refusals[0])


def test_wall_time_is_given_as_far_as_there_is_any() -> None:
    """A call can be cut short; below a second it is not begun."""
    applied = AppliedLimit("workspace", Limit("seconds", "day", 10_000), "c", None)
    some = granted(Amounts(1, ms=120_000), [applied], {"c": Counter(Amounts(ms=7_000), Amounts(ms=1_500))})
    none = granted(Amounts(1, ms=120_000), [applied], {"c": Counter(Amounts(ms=9_500))})

    assert some[0].ms == 1_500
    assert none[1][0].full
