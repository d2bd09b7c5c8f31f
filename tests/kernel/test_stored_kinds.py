"""Everything the app stores: what is written is read again, and what cannot be read is said by one error."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import importlib
import json
import pkgutil
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import kernel
import lifecycle
import llmops
from kernel.aggregation import NEW, Sums, aggregate
from kernel.codec import JsonCodec, Unreadable, Unwritable, readable, skipped
from kernel.tables import Insert, Row, Span
from llmops.alerts.alert_rules import AlertRule
from tests.lifecycle.doubles import CountingTables, spec
from tests.waiting import QUIET_S

TEXTS = st.sampled_from(["", "bot", "x" * 40_000, "half \ud800 a pair", "nul \x00", "\u202e", "é" * 3, '","value":{'])
NUMBERS = st.sampled_from([0, 1, -5, 2**63, -(2**70), 10**400, 20.5, 20.0, float("nan"), float("inf"), True, None, "7"])
FLOATS = st.sampled_from([0.0, 1.5, -2.0, float("nan"), float("-inf")])
SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)
MOMENTS = st.sampled_from([datetime(2026, 11, 21, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
NESTED = '{"v":1,"value":' + "[" * 5000
DAMAGED = ("", "{", "null", "[]", '{"v":1}', '{"v":1,"value":{"\\ud800":1}}', NESTED, '{"a":NaN}')
SAMPLES: Mapping[str, Any] = {
    "AgentSpec": spec(),
    "AlertRule": AlertRule(metric="error_rate", condition="gt", threshold=0.5, window_s=600),
}


def codecs() -> dict[str, JsonCodec[Any]]:
    """Return every codec that a module of the app holds, by its name."""
    found: dict[str, JsonCodec[Any]] = {}
    for package in (kernel, lifecycle, llmops):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".cli" in module.name or module.name.endswith("__main__"):
                continue
            for name, value in vars(importlib.import_module(module.name)).items():
                each = value if isinstance(value, dict) else {"": value}
                for key, codec in each.items():
                    if isinstance(codec, JsonCodec):
                        found[f"{module.name}.{name}{key and '.'}{key}"] = codec
    return found


CODECS = codecs()


@functools.cache
def strategy(kind: Any) -> st.SearchStrategy[Any]:
    """Return values of a type as a peer can make them: also those that its annotations do not allow."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return st.one_of(TEXTS, NUMBERS.filter(lambda number: number != 10**400))
    if origin is typing.Annotated:
        return strategy(args[0])
    if origin is typing.Literal:
        return st.sampled_from([*args, "unknown"])
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(strategy, args))
    if origin is tuple:
        if len(args) == 2 and args[1] is ...:
            return st.lists(strategy(args[0]), max_size=2).map(tuple)
        return st.tuples(*map(strategy, args))
    if origin in (list, Sequence) or (isinstance(origin, type) and issubclass(origin, Sequence)):
        return st.lists(strategy(args[0]), max_size=2)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return st.dictionaries(strategy(args[0]).filter(_hashable), strategy(args[1]), max_size=2)
    if isinstance(kind, type):
        return _of_class(kind)
    return st.from_type(kind)


def _hashable(value: object) -> bool:
    return value.__hash__ is not None


def _of_class(kind: type) -> st.SearchStrategy[Any]:
    if kind is type(None):
        return st.none()
    if kind is bool:
        return st.booleans()
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    for known, values in ((str, TEXTS), (int, NUMBERS), (float, FLOATS), (datetime, MOMENTS)):
        if issubclass(kind, known):
            return values
    if kind is date:
        return st.sampled_from([date(2026, 11, 21), date.max])
    if kind is timedelta:
        return st.just(timedelta(seconds=5))
    if issubclass(kind, BaseModel):
        return st.just(SAMPLES[kind.__name__]) if kind.__name__ in SAMPLES else _of_model(kind)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        fields = {each.name: strategy(hints[each.name]) for each in dataclasses.fields(kind) if each.init}
        return st.builds(_made, st.just(kind), st.fixed_dictionaries(fields))
    return st.from_type(kind)


def _of_model(kind: type[BaseModel]) -> st.SearchStrategy[Any]:
    fields = {name: strategy(each.annotation) for name, each in kind.model_fields.items()}
    return st.fixed_dictionaries(fields).map(lambda values: kind.model_construct(**values))


def _made(kind: type, fields: Mapping[str, Any]) -> Any:
    try:
        return kind(**fields)
    except Exception:  # noqa: BLE001 - a value that its own type refuses is none of it
        made = object.__new__(kind)
        for name, value in fields.items():
            object.__setattr__(made, name, value)
        return made


def test_all_kinds_are_found() -> None:
    """A new codec is tested by being there."""
    assert len(CODECS) >= 30


@pytest.mark.parametrize("name", CODECS)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=SLOW,
)
@given(data=st.data())
def test_what_is_written_is_read(name: str, data: st.DataObject) -> None:
    """Or it is refused before it is written, by one error."""
    codec = CODECS[name]
    value = data.draw(strategy(codec._kind))
    try:
        text = codec.dump(value)
    except Unwritable:
        return

    plain = codec.dump(codec.load(text))  # a number that was written as a text is one now
    assert codec.dump(codec.load(plain)) == plain


@pytest.mark.parametrize("name", CODECS)
def test_what_was_damaged_or_is_of_a_later_version_is_unreadable(name: str) -> None:
    """And nothing else; an empty list, or an object of which every field has a default, is a value."""
    assert {text for text in DAMAGED if _is_read(name, text)} <= {"[]", '{"a":NaN}', '{"v":1}', "null"}
    with pytest.raises(Unreadable, match="version 999"):
        CODECS[name].load('{"v":999,"value":{}}')


def _is_read(name: str, text: str) -> bool:
    try:
        CODECS[name].load(text)
    except Unreadable:
        return False
    return True


def test_the_error_repeats_nothing_of_the_value() -> None:
    """What is stored may be texts of users."""
    with pytest.raises(Unreadable) as caught:
        JsonCodec(Row).load(json.dumps({"partition": {"treasure": "treasure"}}))

    assert "treasure" not in f"{caught.value} {caught.value.__cause__}"


def test_what_cannot_be_read_is_left_out_counted_and_logged_by_key(caplog: pytest.LogCaptureFixture) -> None:
    codec, before = JsonCodec(int), skipped["number"]
    rows = [Row("p", str(n), {"n": text}) for n, text in enumerate([codec.dump(1), "treasure", codec.dump(3)])]

    assert list(readable(rows, lambda row: codec.load(row.text("n")), "number")) == [1, 3]
    assert skipped["number"] == before + 1
    assert "p/1" in caplog.text
    assert "treasure" not in caplog.text


SUMS: Sums[int] = Sums(
    "facts",
    parts=lambda row: [(row.text("sum"), JsonCodec(int).load(row.text("amount")))],
    load=lambda row: JsonCodec(int).load(row.text("amount")),
    dump=lambda amount: {"amount": JsonCodec(int).dump(amount)},
    add=lambda first, second: first + second,
)


async def test_a_fold_passes_over_rows_and_sums_that_it_cannot_read() -> None:
    """They stay where they are, and all others are added."""
    tables = CountingTables()
    await tables.commit("facts", [Insert(Row("p", "sum!b", {"amount": "broken"}))])
    for number in range(1200):
        bad = number % 5 == 0
        amount = '{"v":999,"value":1}' if bad else "1"
        row = Row("p", f"{NEW}{number:05d}", {"sum": f"sum!{'ab'[number % 2]}", "amount": amount})
        await tables.commit("facts", [Insert(row)])
    counts = [await asyncio.wait_for(aggregate(tables, SUMS, "p"), QUIET_S) for _ in range(2)]
    total = await tables.get("facts", "p", "sum!a")
    left = (await tables.query("facts", Span.prefix("p", NEW))).rows

    assert counts == [480, 0]
    assert total is not None
    assert SUMS.load(total) == 480
    assert len(left) == 1200 - 480
