"""The judges that an agent's policy can name: an agent of the workspace, or Microsoft Foundry's evaluators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from kernel.errors import Unavailable
from lifecycle.conversations.run import Run
from lifecycle.evaluation.charging import JUDGE, Judgement, JudgingCharges
from lifecycle.evaluation.scorer import FOUNDRY
from lifecycle.evaluation.verdict import BEST, AgentJudge
from lifecycle.loader.resolver import AgentResolver
from lifecycle.registry.signals import AgentSignals
from llmops.evaluation.policy import EvaluationPolicy, FoundryPolicy
from llmops.evaluation.scoring import Part
from llmops.spend.usage import Usage, read_usage

if TYPE_CHECKING:
    from agent_framework import EvalItem, EvalResults, EvalScoreResult, Evaluator

_MOST_OUTPUT = 1500
"""Assumed most output tokens of one of Foundry's evaluators."""
_INSTRUCTIONS = 3000
"""Assumed tokens of its own instructions."""

_FROM_1_TO_5 = frozenset(
    {"coherence", "fluency", "relevance", "groundedness", "response_completeness", "similarity", "intent_resolution"}
)
"""Foundry's evaluators that grade from 1 to 5; the results of others count as passed or failed."""


def agent_judge(
    resolver: AgentResolver, charges: JudgingCharges
) -> Callable[[EvaluationPolicy, Run, EvalItem, AgentSignals, Judgement], Awaitable[Sequence[Part]]]:
    """Return the judge that asks an agent of the run's workspace."""

    async def judge(
        policy: EvaluationPolicy, run: Run, item: EvalItem, signals: AgentSignals, judgement: Judgement
    ) -> Sequence[Part]:
        if policy.judge is None:
            return [Part(JUDGE, None, "Left out: the agent's policy names no judge any more.")]
        live = await resolver.resolve(run.workspace, policy.judge.agent, signals)
        async with charges.of_agent(run, live, judgement) as middleware:
            evaluator = AgentJudge(JUDGE, live, policy.judge.rubric, middleware)
            return parts_of(await evaluator.evaluate([item], eval_name=run.id))

    return judge


def foundry_judge(
    evaluator: Callable[[FoundryPolicy], Awaitable[Evaluator]], charges: JudgingCharges
) -> Callable[[EvaluationPolicy, Run, EvalItem, AgentSignals, Judgement], Awaitable[Sequence[Part]]]:
    """Return the judge that uses Foundry's evaluators.

    Args:
        evaluator: Returns Agent Framework's evaluator for a policy.
        charges: Charges for the calls.
    """

    async def judge(
        policy: EvaluationPolicy, run: Run, item: EvalItem, _signals: AgentSignals, judgement: Judgement
    ) -> Sequence[Part]:
        if policy.foundry is None:
            return [Part(FOUNDRY, None, "Left out: the agent's policy no longer asks for it.")]
        asked, many = await evaluator(policy.foundry), len(policy.foundry.evaluators)
        input_bytes = len(item.query.encode()) + len(item.response.encode()) + len((item.context or "").encode())
        at_most = Usage(input_tokens=many * (input_bytes + _INSTRUCTIONS), output_tokens=many * _MOST_OUTPUT)
        async with charges.of_service(run, FOUNDRY, policy.foundry.model, at_most, judgement) as settle:
            results = await asked.evaluate([item], eval_name=f"{run.agent} {run.id}")
            if results.items:
                await settle(_used(results))
        return parts_of(results, f"{FOUNDRY}_")

    return judge


def _used(results: EvalResults) -> Usage | None:
    """Return the usage of all evaluators; None if one of them reports none that can be booked."""
    read = [read_usage(found.token_usage) for found in results.items]
    used = [each for each in read if isinstance(each, Usage)]
    if len(used) < len(read):
        return None
    return Usage(
        input_tokens=sum(each.input_tokens for each in used), output_tokens=sum(each.output_tokens for each in used)
    )


def parts_of(results: EvalResults, prefix: str = "") -> Sequence[Part]:
    """Return the results of an Agent Framework evaluator for one answer.

    Raises:
        Unavailable: It did not complete (code `judge_unfinished`).
    """
    if results.status != "completed" or not results.items:
        msg = f"The evaluation ended as {results.status}."
        raise Unavailable(msg, code="judge_unfinished")
    return [_part(score, prefix) for item in results.items for score in item.scores]


def _part(score: EvalScoreResult, prefix: str) -> Part:
    reason = str((score.sample or {}).get("reason", "")) if isinstance(score.sample, dict) else ""
    name = score.name.rpartition(".")[2]
    if name in _FROM_1_TO_5 or name == JUDGE:
        value = round(100 * (min(max(score.score, 1), BEST) - 1) / (BEST - 1))
    elif score.passed is None:
        return Part(prefix + name, None, "Left out: it says neither passed nor failed.")
    else:
        value = 100 if score.passed else 0
    return Part(prefix + name, value, reason)
