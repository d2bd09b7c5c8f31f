"""What the log says of a run: one line, without texts."""

from __future__ import annotations

from dataclasses import replace

from lifecycle.conversations.run import RunError, RunState
from tests.lifecycle.app import App
from triggers.queue import said_of


async def test_a_run_is_one_line_that_says_what_came_of_it() -> None:
    """How long it took, what it cost and how good it looks; or why it gave no answer. Neither query nor answer."""
    app = App()
    await app.declare()
    run = await app.ask("zq-secret 2 + 3")
    error = RunError("budget_exceeded", "zq-secret")
    waiting = replace(run, state=RunState.WAITING, result=replace(run.result, answer=None, error=error))
    again = replace(run, last=replace(run.last, number=3))

    assert said_of(run).startswith("answered in 0.0 s, 1 model call, 0.0")
    assert said_of(run).endswith(f"USD, score {run.score.overall if run.score else None}")
    assert said_of(again).startswith("answered at attempt 3 in ")
    assert said_of(waiting) == "waiting: budget_exceeded"
    assert said_of(replace(waiting, state=RunState.FAILED)) == "failed: budget_exceeded"
    assert said_of(replace(run, state=RunState.CANCELLED)) == "cancelled"
    assert "zq-secret" not in said_of(run) + said_of(waiting)
    await app.aclose()
