"""Checks of an answer, one's own among them, and that none of them can harm a run."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest
from agent_framework import EvalItem, Message

from lifecycle.evaluation.builtin import BUILTIN, builtin_checks
from lifecycle.evaluation.checks import Check, CheckRunner, check
from lifecycle.evaluation.framework import acknowledge
from llmops.evaluation.policy import EvaluationPolicy
from llmops.evaluation.scoring import Part


def item(answer: str = "Paris.", context: str | None = None) -> EvalItem:
    acknowledge()
    return EvalItem([Message("user", ["Capital of France?"]), Message("assistant", [answer])], context=context)


async def run(*checks: Check, timeout_s: float = 5, answer: str = "Paris.") -> list[Part]:
    return await CheckRunner(timedelta(seconds=timeout_s)).run(list(checks), item(answer))


async def test_a_check_is_one_decorated_function() -> None:
    """Sync or async, with what it asks for, graded as it returns."""

    @check
    def short(response: str) -> bool:
        return len(response) < 10

    @check(name="on_topic")
    async def topical(query: str, response: str) -> tuple[float, str]:
        return 0.25, f"{len(query)} and {len(response)} characters."

    @check
    def nothing(context: str | None, language: str = "en") -> None:
        assert (context, language) == (None, "en")

    assert await run(short, topical, nothing) == [
        Part("short", 100),
        Part("on_topic", 25, "18 and 6 characters."),
        Part("nothing", None),
    ]


def test_a_check_that_asks_for_what_there_is_not_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="weather"):
        check(lambda response, weather: True)


@pytest.mark.parametrize("grade", [2, -0.1, "good", float("nan"), [1], (1, 2, 3)])
async def test_a_grade_that_is_none_is_left_out(grade: Any) -> None:
    (part,) = await run(Check("odd", lambda: grade))

    assert part.value is None
    assert part.reason.startswith("Left out")


@pytest.mark.parametrize("error", [ValueError("secret"), SystemExit(1)])
async def test_a_check_that_raises_costs_only_itself(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """And its text, which may quote the answer, is not kept."""

    @check
    def broken(response: str) -> bool:
        raise error

    @check
    async def fine(response: str) -> bool:
        return True

    assert await run(broken, fine) == [
        Part("broken", None, f"Left out: the check raised {type(error).__name__}."),
        Part("fine", 100),
    ]
    assert "secret" not in caplog.text


async def test_a_check_that_hangs_is_left_and_not_called_again_until_it_returns() -> None:
    release, calls = threading.Event(), 0

    @check
    def hangs(response: str) -> bool:
        nonlocal calls
        calls += 1
        release.wait(30)
        return True

    @check
    async def waits(response: str) -> bool:
        await asyncio.sleep(30)
        return True

    runner = CheckRunner(timedelta(seconds=0.05))
    first = await runner.run([hangs, waits], item())
    second = await runner.run([hangs], item())
    release.set()
    async with asyncio.timeout(5):
        while (third := await runner.run([hangs], item()))[0].value is None:  # noqa: ASYNC110 - the thread tells nobody else
            await asyncio.sleep(0.01)

    assert [part.reason for part in first] == ["Left out: the check took longer than 0.05 s."] * 2
    assert second == [Part("hangs", None, "Left out: an earlier call of this check has not returned yet.")]
    assert third == [Part("hangs", 100)]
    assert calls == 2


async def test_many_answers_are_checked_at_once() -> None:
    """A check in use elsewhere is not taken for one that hangs."""
    gate = threading.Barrier(8, timeout=10)

    @check
    def together(response: str) -> bool:
        gate.wait()
        return True

    runner = CheckRunner(timedelta(seconds=10))
    found = await asyncio.gather(*(runner.run([together], item()) for _ in range(8)))

    assert found == [[Part("together", 100)]] * 8


async def test_the_builtin_checks_say_what_the_policy_asks_for() -> None:
    policy = EvaluationPolicy(
        topics=("paris",), citations=1, structure=("headings",), min_words=2, max_words=9, weights={"answered": 2}
    )
    schema = {"type": "object"}

    parts = await CheckRunner(timedelta(seconds=5)).run(
        builtin_checks(policy, ["Seine"], schema), item("Paris.", context="Paris lies on the Seine.")
    )

    assert {part.name: part.value for part in parts} == {
        "answered": 100,
        "topics": 50,
        "citations": 0,
        "structure": 0,
        "length": 50,
        "grounded": 100,
        "schema": 0,
    }
    assert {part.name for part in parts} == BUILTIN


async def test_without_a_policy_only_what_can_always_be_said_is_said() -> None:
    parts = await CheckRunner(timedelta(seconds=5)).run(builtin_checks(EvaluationPolicy(), (), None), item())

    assert [(part.name, part.value) for part in parts if part.value is not None] == [("answered", 100)]
