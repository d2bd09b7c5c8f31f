"""Conditions over arguments: what they decide, what is none, and that none takes long."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.tools.argument_conditions import MAX_LENGTH, check_condition, holds


@pytest.mark.parametrize(
    ("condition", "arguments", "expected"),
    [
        ("amount > 100", {"amount": 150}, True),
        ("amount > 100", {"amount": 100}, False),
        ("amount > 100.0", {"amount": 100.5}, True),
        ("to.endsWith('@example.com')", {"to": "ann@example.com"}, True),
        ("has(args.note) && args.note != ''", {}, False),
        ("args['odd name'] == 1", {"odd name": 1}, True),
        ("items.exists(item, item.price > 5)", {"items": [{"price": 9}]}, True),
        ("currency in ['USD', 'EUR']", {"currency": "CHF"}, False),
    ],
)
def test_a_condition_is_decided_by_the_arguments(condition: str, arguments: dict[str, Any], expected: bool) -> None:
    assert check_condition(condition) == condition
    assert holds(condition, arguments) is expected


@pytest.mark.parametrize(
    "arguments",
    [{}, {"amount": "150"}, {"amount": None}, {"amount": float("nan")}, {"amount": [1]}, {"amount": 2**70}],
)
def test_what_cannot_be_decided_is_for_a_person(arguments: dict[str, Any]) -> None:
    """A missing argument, one of another type, a number that is none: the condition holds, or says that it does not."""
    assert holds("amount > 100", arguments) or arguments.get("amount") != arguments.get("amount")


@pytest.mark.parametrize(
    "condition",
    [
        "",
        " ",
        "amount >",
        "import os",
        "x" * (MAX_LENGTH + 1),
        "(" * 240 + "1" + ")" * 240,
        "[" * 240 + "]" * 240,
        "a.all(x, a.all(y, a.all(z, x + y + z > 0)))",
        "a.map(x, x).filter(y, y)",
        "a.exists (x, x.exists(y, y))",
    ],
)
def test_what_is_no_condition_or_might_take_long_is_refused(condition: str) -> None:
    with pytest.raises(ValueError, match="condition"):
        check_condition(condition)


def test_a_text_that_looks_like_a_comprehension_is_a_text() -> None:
    assert check_condition("note == 'a.all(b.all(c))'")


def test_a_condition_over_a_long_list_is_linear() -> None:
    """64 KiB of arguments, and the costliest condition there can be, take less time than a model call."""
    arguments = {"items": list(range(12_000))}
    started = time.process_time()

    assert holds("items.all(item, item >= 0 && string(item).matches('^(0|[1-9]+0*)+$') || true)", arguments)
    assert time.process_time() - started < 20


@given(st.text(max_size=MAX_LENGTH))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    """None ends the process, nor raises anything else."""
    try:
        check_condition(text)
    except ValueError:
        return
    assert holds(text, {}) in (True, False)


def test_the_library_is_loaded_by_who_needs_it_only() -> None:
    """Importing what a spec is made of imports no CEL."""
    code = "import lifecycle.specs.spec, sys; sys.exit('cel' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
