"""Checks of an answer, one's own among them, and that none of them can harm a run."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from agent_framework import EvalItem, Message

from adapters.check_processes import CheckProcessPool
from kernel.errors import InvalidInput
from lifecycle.configuration.layers import Template
from lifecycle.evaluation.builtin_checks import BUILTIN, builtin_checks
from lifecycle.evaluation.checks import INLINE_CHARACTERS, MAX_CHARACTERS, Check, CheckRunner, check
from lifecycle.evaluation.framework_evaluation import acknowledge
from llmops.evaluation.combined_score import Part
from llmops.evaluation.json_schema import MAX_PATTERNS
from llmops.evaluation.policy import EvaluationPolicy
from tests.lifecycle.app import App
from tests.lifecycle.doubles import spec
from tests.lifecycle.evaluation import own_checks

QUICK_S = 0.3
AMPLE_S = 60.0


def item(answer: str = "Paris.", context: str | None = None) -> EvalItem:
    acknowledge()
    return EvalItem([Message("user", ["Capital of France?"]), Message("assistant", [answer])], context=context)


class Checking:
    """Two pools, and runners on them."""

    def __init__(self) -> None:
        self.builtin, self.own = CheckProcessPool(1), CheckProcessPool(2)

    def runner(self, limit_s: float = AMPLE_S) -> CheckRunner:
        return CheckRunner(timedelta(seconds=limit_s), self.builtin, self.own)

    async def run(self, *checks: Check, limit_s: float = AMPLE_S, answer: str = "Paris.") -> list[Part]:
        return await self.runner(limit_s).run(list(checks), item(answer))


@pytest.fixture
async def checking() -> AsyncIterator[Checking]:
    made = Checking()
    yield made
    await made.builtin.aclose()
    await made.own.aclose()


async def test_a_check_is_one_decorated_function(checking: Checking) -> None:
    """Sync or async, with what it asks for, graded as it returns; what it prints is nobody's grade."""
    found = await checking.run(own_checks.short, own_checks.topical, own_checks.nothing, own_checks.spoken)

    assert found == [
        Part("short", 100),
        Part("on_topic", 25, "18 and 6 characters."),
        Part("nothing", None),
        Part("spoken", 100, "user 18, assistant 6"),
    ]


def test_a_check_that_asks_for_what_there_is_not_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="weather"):
        check(lambda response, weather: True)


def test_a_check_that_another_process_cannot_import_is_refused_at_once() -> None:
    def local(response: str) -> bool:
        return True

    with pytest.raises(TypeError, match="function of a module"):
        check(local)


@pytest.mark.parametrize(
    "odd", [own_checks.too_good, own_checks.negative, own_checks.wordy, own_checks.no_number, own_checks.many]
)
async def test_a_grade_that_is_none_is_left_out(odd: Check, checking: Checking) -> None:
    (part,) = await checking.run(odd)

    assert part == Part(odd.name, None, "Left out: the check returned no grade from 0 to 1.")


async def test_a_check_that_raises_costs_only_itself(checking: Checking, caplog: pytest.LogCaptureFixture) -> None:
    """And its text, which may quote the answer, is not kept; nor does one that ends its process harm the next."""
    found = await checking.run(own_checks.broken, own_checks.leaving, answer="secret")
    found += await checking.run(own_checks.dying)
    found += await checking.run(own_checks.short)

    assert found == [
        Part("broken", None, "Left out: the check raised ValueError."),
        Part("leaving", None, "Left out: the check raised SystemExit."),
        Part("dying", None, "Left out: the process of the check died."),
        Part("short", 100),
    ]
    assert "secret" not in caplog.text


@pytest.mark.parametrize("stuck", [own_checks.hanging, own_checks.backtracking])
async def test_a_stuck_check_is_ended_and_left_out_for_a_while(stuck: Check, checking: Checking) -> None:
    """Its process is killed, also when it holds the interpreter; the event loop goes on; others are not held up."""
    runner = checking.runner(QUICK_S)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    going_on = asyncio.create_task(others())
    first = await runner.run([stuck], item())
    second = await runner.run([stuck], item())
    going_on.cancel()
    after = await checking.run(own_checks.short)

    assert first == [Part(stuck.name, None, f"Left out: the check took longer than {QUICK_S} s.")]
    assert second == [Part(stuck.name, None, "Left out: the check took too long a moment ago.")]
    assert after == [Part("short", 100)]
    assert turns > 100


async def test_a_process_is_kept_warm_and_ends_with_its_pool(checking: Checking) -> None:
    """Ten answers, one process that is not ours; closed, it is gone."""
    runner = checking.runner()
    pids = {(await runner.run([own_checks.who], item()))[0].reason for _ in range(10)}
    await checking.own.aclose()

    assert len(pids) == 1
    assert pids != {str(os.getpid())}
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids.pop()), 0)


async def test_closing_the_pool_costs_no_answer(checking: Checking) -> None:
    """Neither one whose check is under way or waits for its turn, nor one that comes later."""
    runner = checking.runner()
    stuck = [Check(f"stuck{number}", own_checks.hanging.function) for number in range(4)]
    scoring = [asyncio.create_task(runner.run([one], item())) for one in stuck]
    while checking.own.started < 2:  # noqa: ASYNC110 - threads start them, which set no event
        await asyncio.sleep(0)
    await checking.own.aclose()
    found = [part for parts in await asyncio.gather(*scoring) for part in parts]
    found += await runner.run([own_checks.short], item())

    assert {part.value for part in found} == {None}
    assert {part.reason for part in found} <= {
        "Left out: the app is closing.",
        "Left out: the process of the check died.",
        "Left out: its process did not start.",
    }


async def test_many_answers_are_checked_at_once(checking: Checking) -> None:
    runner = checking.runner()
    found = await asyncio.gather(*(runner.run([own_checks.short], item()) for _ in range(40)))

    assert found == [[Part("short", 100)]] * 40


async def test_checks_that_get_no_turn_are_left_out(checking: Checking) -> None:
    """A queue behind stuck checks ends with their time: nobody waits for more than two of them."""
    stuck = [Check(f"stuck{number}", own_checks.hanging.function) for number in range(8)]
    found = await asyncio.gather(*(checking.run(one, limit_s=QUICK_S) for one in stuck))
    reasons = [part.reason for (part,) in found]

    assert set(reasons) <= {
        f"Left out: the check took longer than {QUICK_S} s.",
        "Left out: other checks took all the time there was.",
    }
    assert "Left out: other checks took all the time there was." in reasons


async def test_the_builtin_checks_say_what_the_policy_asks_for(checking: Checking) -> None:
    policy = EvaluationPolicy(
        topics=("paris",), citations=1, structure=("headings",), min_words=2, max_words=9, weights={"answered": 2}
    )
    schema = {"type": "object"}

    parts = await checking.runner().run(
        builtin_checks(policy, ["Seine"], schema, "length"), item("Paris.", context="Paris lies on the Seine.")
    )

    assert {part.name: part.value for part in parts} == {
        "answered": 100,
        "complete": 0,
        "topics": 50,
        "citations": 0,
        "structure": 0,
        "length": 50,
        "grounded": 100,
        "schema": 0,
    }
    assert {part.name for part in parts} == BUILTIN


async def test_without_a_policy_only_what_can_always_be_said_is_said(checking: Checking) -> None:
    """And no process is started for it."""
    parts = await checking.run(*builtin_checks(EvaluationPolicy(), (), None))

    assert [(part.name, part.value) for part in parts if part.value is not None] == [("answered", 100)]
    assert not checking.builtin.started


@pytest.mark.parametrize("length", [INLINE_CHARACTERS + 1, MAX_CHARACTERS])
async def test_long_answers_are_checked_in_another_process(length: int, checking: Checking) -> None:
    checks = builtin_checks(EvaluationPolicy(max_words=1), (), None)
    parts = await checking.run(*checks, answer="word " * (length // 5) + "!" * (length % 5))

    assert {part.name: part.value for part in parts if part.value is not None} == {"answered": 100, "length": 0}
    assert checking.builtin.started == 1


async def test_what_is_longer_than_that_is_not_checked_and_the_score_says_so(checking: Checking) -> None:
    parts = await checking.run(*builtin_checks(EvaluationPolicy(), (), None), answer="a" * (MAX_CHARACTERS + 1))

    assert {part.value for part in parts} == {None}
    assert {part.reason for part in parts} == {"Left out: answer and context have more than 1,000,000 characters."}


async def test_a_schema_that_takes_too_long_is_left_out_and_no_other_with_it(checking: Checking) -> None:
    """Patterns are linear, and still too many for a long text."""
    patterns = [{"pattern": f"a[ab]{{{400 + number}}}[^ab]"} for number in range(MAX_PATTERNS)]
    heavy: dict[str, Any] = {"type": "object", "properties": {"a": {"anyOf": patterns}}}
    answer = '{"a": "' + "".join(random.Random(1).choices("ab", k=800_000)) + '"}'
    runner = checking.runner(QUICK_S)
    first = await runner.run(builtin_checks(EvaluationPolicy(), (), heavy)[-1:], item(answer))
    second = await runner.run(builtin_checks(EvaluationPolicy(), (), heavy)[-1:], item(answer))
    other = await checking.runner().run(builtin_checks(EvaluationPolicy(), (), {"type": "object"})[-1:], item(answer))

    assert first == [Part("schema", None, f"Left out: the check took longer than {QUICK_S} s.")]
    assert second == [Part("schema", None, "Left out: the check took too long a moment ago.")]
    assert other == [Part("schema", 100)]


@pytest.mark.parametrize(
    ("part", "pointer"),
    [
        ({"allOf": [{"$ref": "http://127.0.0.1:9/x"}]}, "/allOf/0/$ref"),
        ({"properties": {"a": {"pattern": r"^(a)\1$"}}}, "/properties/a/pattern"),
        ({"not": {"minimum": "one"}}, "/not/minimum"),
        ({"allOf": [{"$ref": "#"}]}, "/allOf/0"),
    ],
)
@pytest.mark.parametrize("declared_in", ["agent", "template"])
async def test_a_schema_that_no_answer_could_be_checked_by_is_refused_when_declared(
    part: dict[str, Any], pointer: str, declared_in: str
) -> None:
    """With the place in the spec, also in a template; nothing is changed."""
    app = App()
    wanted = {"name": "r", "strict": False, "json_schema": {"type": "object", **part}}
    template = Template.model_validate({"provider": "openai", "response_format": wanted})
    if declared_in == "agent":
        declaring = app.declare(declared=spec(provider="openai", response_format=wanted))
    else:
        declaring = app.services.configuration.composer.sources("default").check(template)
    with pytest.raises(InvalidInput) as caught:
        await declaring

    assert caught.value.code == "invalid_schema"
    assert list(caught.value.fields) == [f"/response_format/json_schema{pointer}"]


async def test_a_schema_of_an_older_declaration_that_cannot_be_used_is_left_out(checking: Checking) -> None:
    remote = {"type": "object", "allOf": [{"$ref": "http://127.0.0.1:9/x"}]}
    (part,) = await checking.run(*builtin_checks(EvaluationPolicy(), (), remote)[-1:], answer="{}")

    assert part == Part("schema", None, "Left out: the check raised ValueError.")


ORPHAN = """
import asyncio, datetime, os, pathlib, sys
from adapters.check_processes import CheckProcessPool
from lifecycle.evaluation.checks import Call

async def main():
    pool, second = CheckProcessPool(1), datetime.timedelta(seconds=1)
    module, note = "tests.lifecycle.evaluation.own_checks", pathlib.Path(sys.argv[1])
    found = await pool.run(Call("who", module, "who", {}, {"response": ""}), 60 * second)
    print(found.reason, flush=True)
    stuck = asyncio.create_task(pool.run(Call("noting", module, "noting", {}, {"query": str(note)}), second))
    while not note.exists():
        await asyncio.sleep(0)
    os._exit(0)

asyncio.run(main())
"""


def test_a_stuck_check_does_not_outlive_its_app(tmp_path: Path) -> None:
    """The app is gone at once, as when it is killed: the process ends itself, though the interpreter is held."""
    app = [sys.executable, "-c", ORPHAN, str(tmp_path / "note")]
    pid = int(subprocess.run(app, stdout=subprocess.PIPE, check=True).stdout)

    while running(pid):  # until the suite's own time limit
        time.sleep(0.1)


def running(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
