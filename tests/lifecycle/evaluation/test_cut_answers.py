"""Answers that their model did not end: shown as such, scored, and refused where the agent says so."""

from __future__ import annotations

import pytest

from lifecycle.conversations.run import RunState
from llmops.evaluation.policy import EvaluationPolicy
from llmops.facts.attempt_fact import Ending
from tests.lifecycle.app import App
from tests.lifecycle.doubles import spec


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cut_answer_says_so_and_is_scored_for_it(stream: bool) -> None:
    """Its tokens ran out: `finish_reason` is `length`, and the part `complete` 0; of a whole one it is 100."""
    app = App()
    await app.declare("brief", spec(max_output_tokens=3))
    await app.declare("whole", spec())
    cut = await app.ask("Tell me more.", agent="brief", stream=stream)
    whole = await app.ask("Tell me more.", agent="whole", stream=stream)

    assert (cut.state, cut.finish_reason) == (RunState.SUCCEEDED, "length")
    assert (whole.state, whole.finish_reason) == (RunState.SUCCEEDED, "stop")
    assert cut.score is not None
    assert whole.score is not None
    assert cut.score.parts["complete"] == 0
    assert cut.score.overall < whole.score.overall
    assert whole.score.parts["complete"] == 100


@pytest.mark.parametrize("stream", [False, True])
async def test_an_agent_may_refuse_cut_answers(stream: bool) -> None:
    """The run fails with a reason, is paid for once, and is not tried again: it would be cut again."""
    app = App()
    await app.declare(declared=spec(max_output_tokens=3, evaluation=EvaluationPolicy(on_truncated="fail")))
    run = await app.ask("Tell me more.", stream=stream)
    [fact] = [kept.fact for kept in await app.facts(run)]

    assert (run.state, run.attempt, run.answer) == (RunState.FAILED, 1, None)
    assert run.error is not None
    assert run.error.code == "answer_truncated"
    assert (fact.ending, fact.finish_reason, len(fact.calls)) == (Ending.FAILED, "length", 1)
    assert run.spend.cost_micro_usd > 0
