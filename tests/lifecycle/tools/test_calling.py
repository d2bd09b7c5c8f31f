"""A tool's function can do whatever it likes: it harms its own call, and nothing it raises is told to anyone."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from agent_framework import FunctionTool

from lifecycle.tools import limited_calls as calling
from lifecycle.tools.context import CURRENT, ToolContext
from lifecycle.tools.definition import Tool, ToolTerms, defined, tool
from lifecycle.tools.function_tools import framework_tool, terms_of
from lifecycle.tools.limited_calls import MAX_STUCK, ToolFailed, call

SECRET = "password is hunter2"
CONTEXT = ToolContext(
    "default", "bot", "s", "r", "ada", 1, "call_1", datetime(2027, 1, 1, tzinfo=UTC), {"KEY": "k"}.get
)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    calling._stuck.clear()
    yield
    calling._stuck.clear()


def named(function: Callable[..., Any], **terms: Any) -> Tool:
    function.__doc__ = "Do something."
    return defined(function, "thing", ToolTerms(**terms))


async def failure(made: Tool) -> ToolFailed:
    with pytest.raises(ToolFailed) as caught:
        await call(made, {})
    return caught.value


def raises() -> str:
    raise RuntimeError(SECRET)


async def araises() -> str:
    raise RuntimeError(SECRET)


def exits() -> str:
    raise SystemExit(SECRET)


async def aexits() -> str:
    raise SystemExit(SECRET)


async def cancels() -> str:
    raise asyncio.CancelledError(SECRET)


@pytest.mark.parametrize("function", [raises, araises, exits, aexits, cancels], ids=lambda f: f.__name__)
async def test_what_a_tool_raises_reaches_nobody_with_its_text(
    function: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Not the model, nor the log, nor what a trace takes of the exception's chain; an exit ends nothing."""
    caplog.set_level(logging.DEBUG)
    error = await failure(named(function))
    chain = [error.__cause__, error.__context__]

    assert (error.code, str(error)) == ("tool_failed", "The tool failed.")
    assert SECRET not in caplog.text
    assert chain == [None, None]
    assert "tool thing:" in caplog.text


async def test_a_sync_tool_that_hangs_is_left_and_then_not_called_any_more() -> None:
    """Its thread cannot be ended, so only so many may hang; when they return, the tool is called again."""
    gate, calls = threading.Event(), []

    def hangs() -> str:
        calls.append(1)
        gate.wait()
        return "late"

    hanging = named(hangs, timeout_s=0.05)
    codes = [(await failure(hanging)).code for _ in range(MAX_STUCK + 2)]
    gate.set()
    while calling._stuck["thing"]:  # noqa: ASYNC110 - counted down by threads
        await asyncio.sleep(0.01)

    assert codes == ["tool_timeout"] * MAX_STUCK + ["tool_stuck"] * 2
    assert len(calls) == MAX_STUCK
    assert (await call(hanging, {})).text == "late"


async def test_an_async_tool_that_swallows_its_cancellation_is_left_and_then_not_called_any_more() -> None:
    """It does not keep the run, and is counted as a thread is; when its calls return, it is called again."""
    left, calls = asyncio.Event(), []

    async def stubborn() -> str:
        calls.append(1)
        while not left.is_set():
            try:
                await left.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    hanging = named(stubborn, timeout_s=0.05)
    errors = [await failure(hanging) for _ in range(MAX_STUCK + 2)]
    left.set()
    while calling._stuck["thing"]:  # noqa: ASYNC110 - counted down by the calls themselves
        await asyncio.sleep(0.01)

    assert [error.code for error in errors] == ["tool_timeout"] * MAX_STUCK + ["tool_stuck"] * 2
    assert "0.05 s" in str(errors[0])
    assert len(calls) == MAX_STUCK
    assert (await call(hanging, {})).text == "late"


async def test_an_async_tool_that_ends_when_it_is_cancelled_is_called_again() -> None:
    """However often it was too slow."""

    async def slow() -> None:
        await asyncio.Event().wait()

    codes = [(await failure(named(slow, timeout_s=0.001))).code for _ in range(2 * MAX_STUCK)]

    assert codes == ["tool_timeout"] * 2 * MAX_STUCK


async def test_a_sync_tool_does_not_hold_up_the_event_loop() -> None:
    """Others go on while it works, in a thread."""
    seen = threading.Event()

    def waits() -> bool:
        return seen.wait(30)

    async def meanwhile() -> None:
        seen.set()

    result, _ = await asyncio.gather(call(named(waits), {}), meanwhile())
    assert result.text == "true"


async def test_a_run_that_is_cancelled_leaves_its_tool() -> None:
    """The cancellation goes through, whatever the tool does."""
    gate = threading.Event()
    task = asyncio.create_task(call(named(lambda: gate.wait(30)), {}))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_tool_that_forks_answers_once() -> None:
    """The child, in which the function returns as well, settles nothing and ends."""

    def forks() -> str:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        return "done"

    assert (await call(named(forks), {})).text == "done"


async def test_a_tool_that_prints_returns_what_it_returns(capfd: pytest.CaptureFixture[str]) -> None:
    """What is printed goes where prints go."""

    def prints() -> int:
        print("x" * 100)
        return 3

    assert (await call(named(prints), {})).text == "3"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"\xff\x00", "[2 bytes that are no text]"),
        (float("nan"), "null"),
        ({"x": float("inf"), "at": datetime(2026, 1, 1, tzinfo=UTC)}, '{"x":null,"at":"2026-01-01T00:00:00Z"}'),
        (None, "null"),
        ("half \ud800", "half ?"),
        ({1}, "[1]"),
        ([object()], '["[object]"]'),
        ((n for n in iter(int, 1)), "[generator]"),
    ],
    ids=["bytes", "nan", "infinity", "none", "surrogate", "set", "object", "endless"],
)
async def test_results_that_json_does_not_know_are_text_all_the_same(value: Any, text: str) -> None:
    """Nothing an object says of itself is shown."""
    assert (await call(named(lambda: value), {})).text == text


async def test_a_result_of_five_megabytes_is_cut_with_a_note() -> None:
    """The model learns that there is more."""
    result = await call(named(lambda: "é" * 2_621_440, max_result_bytes=1000), {})

    assert result.size == 5_242_880
    assert len(result.text.encode()) < 1100
    assert result.text.endswith("[cut: the result has 5,242,880 bytes, these are the first 1,000]")


async def test_a_result_that_cannot_be_read_is_no_result() -> None:
    """It is told by a code of its own; one that contains itself ends where it does."""

    class Odd(str):  # noqa: SLOT000 - of no matter here
        def encode(self, *_: Any, **__: Any) -> bytes:
            raise RuntimeError(SECRET)

    loop: list[Any] = []
    loop.append(loop)

    assert (await failure(named(lambda: Odd("x")))).code == "tool_result_unusable"
    assert len((await call(named(lambda: loop), {})).text) < 1000


async def test_a_tool_is_given_the_run_that_it_is_called_in_and_the_model_does_not_see_it() -> None:
    """By a parameter annotated with ToolContext, wherever it stands; settings by their names."""

    @tool(timeout_s=5, approval="always", show_arguments=("order_id",))
    def refund(order_id: Annotated[str, "As printed"], context: ToolContext, usd: int = 1) -> list[Any]:
        """Pay an order back."""
        return [order_id, usd, context.idempotency_key, context.user_id, context.setting("KEY")]

    made = framework_tool(refund)
    token = CURRENT.set(CONTEXT)
    content = await made.invoke(arguments={"order_id": "A1"})
    CURRENT.reset(token)

    assert list(made.parameters()["properties"]) == ["order_id", "usd"]
    assert made.parameters()["properties"]["order_id"]["description"] == "As printed"
    assert content[0].text == '["A1",1,"r.call_1","ada","k"]'
    assert terms_of(made) == ToolTerms(5, "always", ("order_id",))
    assert terms_of(FunctionTool(name="other")) == ToolTerms()
    assert (await failure(refund)).code == "tool_unavailable", "outside of a run"


async def test_a_setting_that_is_not_there_is_named_in_the_log_only(caplog: pytest.LogCaptureFixture) -> None:
    """The name is no secret, and who operates the app needs it."""

    def wants(context: ToolContext) -> str:
        return context.setting("CRM_KEY")

    token = CURRENT.set(CONTEXT)
    error = await failure(named(wants))
    CURRENT.reset(token)

    assert "CRM_KEY" in caplog.text
    assert "CRM_KEY" not in str(error)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: tool(lambda x: x), "name"),
        (lambda: defined(lambda: 1, "t"), "no docstring"),
        (lambda: named(lambda x: x), "no type"),
        (lambda: named(lambda *xs: xs), "only named parameters"),
        (lambda: ToolTerms(timeout_s=0), "timeout_s"),
        (lambda: ToolTerms(timeout_s=601), "timeout_s"),
        (lambda: ToolTerms(max_result_bytes=2**21), "max_result_bytes"),
        (lambda: ToolTerms(approval="sometimes"), "approval"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_what_is_no_tool_is_said_when_it_is_defined(make: Callable[[], Any], said: str) -> None:
    """A model could not call it, or not as it was meant."""
    with pytest.raises((TypeError, ValueError), match=said):
        make()


def test_a_tool_can_be_called_like_its_function() -> None:
    """So it can be tested without the app."""

    @tool
    def twice(n: int) -> int:
        """Double a number."""
        return 2 * n

    assert twice(4) == 8
