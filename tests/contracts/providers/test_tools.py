"""The function tools, and that looking at them costs no import of the Agent Framework."""

from __future__ import annotations

import subprocess
import sys
from typing import cast

import pytest

from kernel.errors import InvalidInput
from lifecycle.specs.tools import Toolbox, builtin_tools, calculator, check_tools
from tests.contracts.providers.conftest import NOW

TOOLS = builtin_tools(lambda: NOW)


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("2 + 3 * 4", "14"),
        ("(2 + 3) * -4", "-20"),
        ("7 // 2 + 7 % 2", "4"),
        ("1 / 4", "0.25"),
        ("2 ** 100", str(2**100)),
        ("1e3 - .5", "999.5"),
        (" 2 ** -1 ", "0.5"),
        ("1\n+\n1", "Cannot calculate that: it is not a complete expression."),
    ],
)
def test_the_calculator_calculates(expression: str, result: str) -> None:
    """Whole numbers stay exact, others are double precision."""
    assert calculator(expression) == result


@pytest.mark.parametrize(
    "expression",
    [
        "", "2 +", "()", "1 / 0", "0 ** -1", "(-1) ** .5", "9 ** 9 ** 9", "2 ** 1e9", "2 ** -1e9", "1e308 * 10 ** 400",
        "9" * 201, "*".join(["9" * 19] * 10) + "**99", "__import__('os')", "1 if 1 else 2", "1(2)", "1 == 1", "[1]",
        "(" * 199 + "1", "-" * 200, "1e", "٣ + ٣", "1_000", "0x10", "1j",
    ],
)  # fmt: skip
def test_the_calculator_answers_nonsense_with_a_sentence(expression: str) -> None:
    """Whatever a model sends, it neither raises nor takes long nor runs anything."""
    assert calculator(expression).startswith("Cannot calculate that: ")


def test_large_but_finite_is_fine() -> None:
    """A float that overflows is infinite in Python without an error; only what has no value is refused."""
    assert calculator("1e308 * 10") == "inf"


def test_the_time_is_the_clock_s() -> None:
    """The tool tells the time of the clock it was built with."""
    current_time = TOOLS["current_time"]

    assert callable(current_time)
    assert current_time() == "2026-11-21T08:00:00.000Z"


def test_unknown_tools_are_named_with_their_place() -> None:
    """Declaring a spec with unknown tools says which, where, and what there is instead."""
    with pytest.raises(InvalidInput, match=r"telepathy.*calculator, current_time") as caught:
        check_tools(TOOLS, ["calculator", "telepathy"])

    assert caught.value.code == "unknown_tool"
    assert list(caught.value.fields) == ["/tools/1"]


async def test_a_function_becomes_a_tool_under_its_registered_name() -> None:
    """The model sees the name of the mapping, the docstring and the annotated parameters."""
    tool = Toolbox({"sums": calculator}).pick(["sums"])[0]

    assert tool.name == "sums"
    assert "arithmetic" in tool.description
    assert "200 characters" in tool.parameters()["properties"]["expression"]["description"]
    assert cast("str", (await tool.invoke(arguments={"expression": "1 + 1"}))[0].text) == "2"


def test_a_tool_is_wrapped_once() -> None:
    """Reading a signature costs more than opening an agent, so it happens once per app."""
    toolbox = Toolbox(TOOLS)

    assert toolbox.pick(["calculator"])[0] is toolbox.pick(["current_time", "calculator"])[1]


def test_a_ready_made_tool_keeps_its_name() -> None:
    """A FunctionTool is taken as it is; under another name than its own it could never be called."""
    made = Toolbox(TOOLS).pick(["calculator"])[0]

    assert Toolbox({"calculator": made}).pick(["calculator"]) == [made]
    with pytest.raises(ValueError, match="another name"):
        Toolbox({"sums": made}).pick(["sums"])


@pytest.mark.parametrize(
    "module",
    [
        "adapters.providers.offline",
        "adapters.providers.openai",
        "adapters.providers.foundry",
        "lifecycle.specs.tools",
        "lifecycle.specs.spec",
    ],
)
def test_importing_a_provider_is_cheap(module: str) -> None:
    """Every worker imports these at its cold start, so the frameworks come in with the first agent opened."""
    heavy = "('agent_framework', 'agent_framework_openai', 'openai', 'httpx2', 'azure')"
    code = f"import sys, {module}; sys.exit(', '.join(name for name in {heavy} if name in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
