"""The judges that an agent's policy can name: an agent of the workspace, and Microsoft Foundry's evaluators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from kernel.errors import Unavailable
from lifecycle.evaluation.judge import BEST, AgentJudge
from lifecycle.evaluation.scorer import FOUNDRY, JUDGE
from lifecycle.loader.resolver import AgentResolver, LiveAgent
from lifecycle.registry.signals import AgentSignals
from lifecycle.runs.rules import Run
from llmops.evaluation.policy import EvaluationPolicy, FoundryPolicy
from llmops.evaluation.scoring import Part

if TYPE_CHECKING:
    from agent_framework import EvalItem, EvalResults, EvalScoreResult, Evaluator

Charge = Callable[[Run, LiveAgent], Sequence[Any]]
"""Returns the middleware that charges an evaluation's model calls to the run's agent."""

ChargeTokens = Callable[[Run, str, int, int], Awaitable[None]]
"""Charges the run's agent for tokens that an evaluation took elsewhere: the model, input and output tokens."""

_FROM_1_TO_5 = frozenset(
    {"coherence", "fluency", "relevance", "groundedness", "response_completeness", "similarity", "intent_resolution"}
)
"""Foundry's evaluators that grade from 1 to 5; what the others say is taken as passed or not."""


def agent_judge(
    resolver: AgentResolver, charge: Charge
) -> Callable[[EvaluationPolicy, Run, EvalItem, AgentSignals], Awaitable[Sequence[Part]]]:
    """Return the judge that an agent of the run's workspace is."""

    async def judge(policy: EvaluationPolicy, run: Run, item: EvalItem, signals: AgentSignals) -> Sequence[Part]:
        if policy.judge is None:
            return [Part(JUDGE, None, "Left out: the agent's policy names no judge any more.")]
        live = await resolver.resolve(run.workspace, policy.judge.agent, signals)
        evaluator = AgentJudge(JUDGE, live, policy.judge.rubric, charge(run, live))
        return parts_of(await evaluator.evaluate([item], eval_name=run.id))

    return judge


def foundry_judge(
    evaluator: Callable[[FoundryPolicy], Awaitable[Evaluator]], charge: ChargeTokens
) -> Callable[[EvaluationPolicy, Run, EvalItem, AgentSignals], Awaitable[Sequence[Part]]]:
    """Return the judge that Foundry's evaluators are.

    Args:
        evaluator: Returns Agent Framework's evaluator for a policy.
        charge: Charges what the evaluation took.
    """

    async def judge(policy: EvaluationPolicy, run: Run, item: EvalItem, _signals: AgentSignals) -> Sequence[Part]:
        if policy.foundry is None:
            return [Part(FOUNDRY, None, "Left out: the agent's policy no longer asks for it.")]
        results = await (await evaluator(policy.foundry)).evaluate([item], eval_name=f"{run.agent} {run.id}")
        for found in results.items:
            if found.token_usage:
                usage = found.token_usage
                await charge(run, policy.foundry.model, usage["prompt_tokens"], usage["completion_tokens"])
        return parts_of(results, f"{FOUNDRY}_")

    return judge


def parts_of(results: EvalResults, prefix: str = "") -> Sequence[Part]:
    """Return what an evaluator of Agent Framework found of one answer.

    Raises:
        Unavailable: It did not come to an end (code `judge_unfinished`).
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
