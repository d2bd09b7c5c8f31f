"""Scores answers by checks, and lists the judges to ask later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass
from lifecycle.evaluation.builtin_checks import BUILTIN, builtin_checks
from lifecycle.evaluation.framework_evaluation import acknowledge
from lifecycle.evaluation.judge_costs import JUDGE
from llmops.evaluation.combined_score import Score, sampled, score_of
from llmops.evaluation.policy import EvaluationPolicy

if TYPE_CHECKING:
    from agent_framework import EvalItem, Message

    from lifecycle.conversations.run import Run
    from lifecycle.evaluation.checks import CheckRunner, Checks
    from lifecycle.loader.agent_resolver import LiveAgent
    from lifecycle.specs.spec import AgentSpec

FOUNDRY = "foundry"
JUDGES = (JUDGE, FOUNDRY)
"""All judges. The order must not change: it numbers their calls in the ledger."""


@dataclass(frozen=True, slots=True)
class ScoringPolicy:
    """The app's defaults for scoring.

    Attributes:
        share: Share of answers that are scored where the agent's policy sets none, 0-1.
    """

    share: float


class AnswerScorer:
    """Scores answers."""

    def __init__(
        self,
        own: Checks,
        runner: CheckRunner,
        policy: ScoringPolicy,
    ) -> None:
        if reserved := BUILTIN & own.keys():
            msg = f"built-in checks have these names: {', '.join(sorted(reserved))}"
            raise ValueError(msg)
        self._own = own
        self._runner = runner
        self._policy = policy

    async def score(
        self, run: Run, live: LiveAgent, messages: Sequence[Message], *, finish_reason: str | None = None
    ) -> Score | None:
        """Return the score of the answer, with the judges to be asked; None when the answer is not sampled.

        Args:
            run: The run.
            live: The agent that answered.
            messages: The answer, with the tool calls before it.
            finish_reason: Why the model stopped; None when unknown. A cut answer scores 0 for `complete`.
        """
        policy = live.spec.evaluation or EvaluationPolicy()
        share = self._policy.share if policy.share is None else policy.share
        if not sampled(run.id, share):
            return None
        schema = live.spec.response_format.json_schema if live.spec.response_format else None
        checks = builtin_checks(policy, run.input.expected_topics, schema, finish_reason)
        checks += [self._own[name] for name in policy.checks if name in self._own]
        parts, judges = await self._runner.run(checks, item_of(run, messages)), judges_of(live.spec, run.id)
        score = score_of(parts, policy.weights)
        if score is None and judges:  # only judges weigh anything; until they are heard, the checks count alike
            score = score_of(parts, {})
        return score and replace(score, pending=tuple(judges))


def judges_of(spec: AgentSpec, run_id: str) -> Sequence[str]:
    """Return the judges to ask about the run's answer."""
    policy = spec.evaluation
    if policy is None:
        return ()
    asked = ((JUDGE, policy.judge), (FOUNDRY, policy.foundry))
    return [name for name, judge in asked if judge is not None and sampled(f"{name}!{run_id}", judge.share)]


def item_of(run: Run, messages: Sequence[Message]) -> EvalItem:
    """Return the question and the answer's messages as an item of Agent Framework's evaluation.

    The grounding context is the run's context with the results of its tools; None where the run has no context.
    """
    from agent_framework import EvalItem, Message  # noqa: PLC0415 - cold start

    context = None
    if run.input.context is not None:
        contents = [content for message in messages for content in message.contents]
        returned = [str(content.result) for content in contents if content.type == "function_result"]
        context = "\n\n".join([run.input.context, *returned])
    acknowledge()
    return EvalItem([Message("user", [run.query]), *messages], context=context)
