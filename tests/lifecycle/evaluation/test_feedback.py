"""What people think of answers: a score of its own, once, in every sum, and gone with the session's texts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kernel.errors import Conflict
from lifecycle.conversations.run import Run
from llmops.evaluation.combined_score import FEEDBACK
from llmops.evaluation.policy import EvaluationPolicy, JudgePolicy
from llmops.facts.scores import by_version
from tests.lifecycle.app import App
from tests.lifecycle.doubles import Crash, Fate, spec

POLICY = EvaluationPolicy(judge=JudgePolicy(agent="judge"))


async def answered(**policy: Any) -> tuple[App, Run]:
    app = App()
    await app.declare(declared=spec(**policy))
    return app, await app.ask("Why?")


async def test_a_verdict_is_a_part_of_its_own() -> None:
    """It stands with the run, the evaluations and their sums, and leaves the overall score as it is."""
    app, run = await answered()
    rated = await app.services.runs.feedback.give(run, helpful=False, comment="Not what I asked.")
    stored, _ = await app.stored(run)
    [listed], _ = await app.services.evaluation.scores.list("default", "bot", 10)
    sums = by_version(await app.services.evaluation.scores.sums("default", "bot"))

    assert run.score is not None
    assert rated.score == stored.score == listed.score
    assert rated.score is not None
    assert rated.score.parts == {**run.score.parts, FEEDBACK: 0}
    assert rated.score.reasons[FEEDBACK] == "Not what I asked."
    assert rated.score.overall == run.score.overall
    assert [parts[FEEDBACK].count for parts in sums.values()] == [1]
    assert (await app.event_names(run))[-1] == "run.evaluated"


@pytest.mark.parametrize("judged_first", [False, True])
async def test_a_verdict_weighs_what_the_agent_s_policy_says(*, judged_first: bool) -> None:
    """In whichever order it and a judge's result come."""
    app = App()
    await app.declare("judge", spec(simulate={"reply": '{"score": 5, "reason": "All is there."}'}))
    policy = EvaluationPolicy(judge=JudgePolicy(agent="judge"), weights={"complete": 0, FEEDBACK: 2})
    await app.declare(declared=spec(evaluation=policy))
    run = await app.ask("Why?")
    if judged_first:
        await app.services.runs.judges.run(app.signals)
    await app.services.runs.feedback.give(run, helpful=False)
    if not judged_first:
        await app.services.runs.judges.run(app.signals)
    stored, _ = await app.stored(run)

    assert stored.score is not None
    assert stored.score.parts["judge"] == 100
    assert (stored.score.overall, stored.score.pending) == (50, ())


async def test_a_verdict_counts_once() -> None:
    """Given again, by many at once, it changes nothing; another one is refused."""
    app, run = await answered()
    await asyncio.gather(*(app.services.runs.feedback.give(run, helpful=True) for _ in range(8)))
    with pytest.raises(Conflict) as refused:
        await app.services.runs.feedback.give(run, helpful=False)
    await app.services.spend.aggregation.run(app.clock())
    [parts] = by_version(await app.services.evaluation.scores.sums("default", "bot")).values()

    assert refused.value.code == "feedback_given"
    assert (parts[FEEDBACK].count, parts[FEEDBACK].mean) == (1, 100)


async def test_a_judge_that_comes_later_keeps_it_and_does_not_weigh_it() -> None:
    """Whoever comes first."""
    app = App()
    await app.declare("judge", spec(simulate={"reply": '{"score": 2, "reason": "Too short."}'}))
    await app.declare(declared=spec(evaluation=POLICY))
    run = await app.ask("Why?")
    await app.services.runs.feedback.give(run, helpful=False)
    await app.services.runs.judges.run(app.signals)
    after, _ = await app.stored(run)

    assert after.score is not None
    assert after.score.parts == {"answered": 100, "complete": 100, FEEDBACK: 0, "judge": 25}
    assert after.score.overall == 75


async def test_a_worker_that_dies_at_any_write_leaves_a_verdict_that_can_be_given_again() -> None:
    """It is there once, whether the write that it died at took effect or not."""
    for died_at in (1, 2):
        for after_effect in (False, True):
            app, run = await answered()
            with pytest.raises(Crash):
                await app.worker(Fate(died_at, after_effect)).runs.feedback.give(run, helpful=True)
            rated = await app.services.runs.feedback.give((await app.stored(run))[0], helpful=True)
            [parts] = by_version(await app.services.evaluation.scores.sums("default", "bot")).values()

            assert rated.score is not None
            assert rated.score.parts[FEEDBACK] == 100
            assert parts[FEEDBACK].count == 1


async def test_what_has_no_scored_answer_takes_no_verdict() -> None:
    """A run that is not over, or failed."""
    app = App()
    await app.declare()
    accepted = await app.submit()
    with pytest.raises(Conflict) as refused:
        await app.services.runs.feedback.give(accepted.run, helpful=True)

    assert refused.value.code == "not_scored"


async def test_a_comment_goes_with_the_session() -> None:
    """Erasing takes the words and keeps the number."""
    app, run = await answered()
    await app.services.runs.feedback.give(run, helpful=True, comment="Thank you, says Ada.")
    await app.services.sessions.erasure.erase("default", run.session_id)
    await app.services.sessions.erasure.erase("default", run.session_id)
    kept = [each.fact for each in await app.facts(run)]

    assert [fact.score.parts[FEEDBACK] for fact in kept if fact.score] == [100]
    assert "Ada" not in repr(kept)
