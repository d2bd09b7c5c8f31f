"""Operations as they travel in a signal."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.registry.actor_operations import (
    Disable,
    Enable,
    Ensure,
    KeepVersion,
    Operation,
    RecordUse,
    Remove,
    Renew,
    Restore,
    Retire,
    Sweep,
    Trim,
    Verify,
    from_signal,
    to_signal,
)
from lifecycle.registry.providers import ProviderVersion
from tests.lifecycle.doubles import NOW, spec

moments = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7))]),
).map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))
specs = st.builds(
    lambda instructions, temperature, tools, idle: spec(
        instructions=instructions, temperature=temperature, tools=tools, idle_after_s=idle, labels={"team": "a"}
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
    st.none() | st.floats(0, 2),
    st.lists(st.sampled_from(["calculator", "current_time"]), unique=True),
    st.none() | st.integers(1, 10**9),
)
ids = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=64)
revisions = st.integers(1, 2**40)
who = st.text(st.characters(exclude_categories=["Cs"]), max_size=128)
why = st.text(st.characters(exclude_categories=["Cs"]), max_size=256)
versions = st.lists(
    st.builds(ProviderVersion, who, who, who, moments, st.sampled_from(["offline", "foundry"]), who, who), max_size=3
).map(tuple)
operations = st.one_of(
    st.builds(Ensure, ids, revisions, specs),
    st.builds(Restore, ids, revisions, specs),
    st.builds(RecordUse, ids, st.integers(1, 10**6), moments),
    st.builds(Retire, ids, moments),
    st.builds(Disable, ids, revisions),
    st.builds(Enable, ids, revisions),
    st.builds(Remove, ids, revisions),
    st.builds(Verify, ids),
    st.builds(Verify, ids, who),
    st.builds(Retire, ids, moments, st.integers(0, 10**8), who, why),
    st.builds(Renew, ids, revisions, specs, who),
    st.builds(KeepVersion, ids, specs),
    st.builds(Trim, ids, versions, moments, why),
    st.builds(Sweep, ids, versions, who),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@given(operation=operations)
def test_an_operation_survives_its_journey(operation: Operation) -> None:
    """Sent as JSON and read again it is the same operation."""
    name, values = to_signal(operation)

    assert from_signal(name, json.loads(json.dumps(values))) == operation


@given(
    name=st.sampled_from(
        [
            "ensure",
            "record_use",
            "retire",
            "disable",
            "enable",
            "delete",
            "verify",
            "renew",
            "keep",
            "trim",
            "sweep",
            "",
            "nonsense",
        ]
    ),
    values=json_values
    | st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ["operation_id", "revision", "spec", "uses", "last_used", "unused_since", "versions"], json_values
        ),
    ),
)
def test_bad_input_is_a_value_error_and_nothing_else(name: str, values: Any) -> None:
    """Whatever JSON arrives, it becomes a well-formed operation or a ValueError."""
    try:
        operation = from_signal(name, values)
    except ValueError:
        return

    assert to_signal(operation)[0] == name
    assert isinstance(operation.operation_id, str)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("retire", {"operation_id": "a", "unused_since": "2026-11-21T08:30:00"}),
        ("record_use", {"operation_id": "a", "uses": 1, "last_used": "2026-11-21T08:30:00"}),
        ("record_use", {"operation_id": "a", "uses": 0, "last_used": "2026-11-21T08:30:00Z"}),
        ("disable", {"operation_id": "a", "revision": 0}),
        ("disable", {"operation_id": ["a"], "revision": 1}),
        ("ensure", {"operation_id": "a", "revision": 1, "spec": {"model": "m", "colour": "red"}}),
        ("verify", {}),
        ("verify", None),
    ],
)
def test_naive_times_and_impossible_numbers_are_refused(name: str, values: Any) -> None:
    """What would poison a record is refused at the door."""
    with pytest.raises(ValueError, match="not valid"):
        from_signal(name, values)


def test_the_error_repeats_nothing_of_the_input() -> None:
    """A spec's instructions may be secret, so a refused one is not quoted."""
    with pytest.raises(ValueError, match="not valid") as caught:
        from_signal("ensure", {"operation_id": "a", "revision": 1, "spec": {"instructions": "SECRET"}})

    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_naive_times_cannot_be_sent() -> None:
    """A naive time would silently mean local time at the other end."""
    with pytest.raises(ValueError, match="naive"):
        to_signal(Retire("a", NOW.replace(tzinfo=None)))
