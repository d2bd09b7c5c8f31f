"""Scoring an answer while its run waits: by the checks, which cost nothing, and noting it for the judges, which do."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.clock import Clock, hour_bucket
from kernel.due import DueIndex
from kernel.errors import AppError
from lifecycle.conversations.run import Run
from lifecycle.evaluation.builtin import builtin_checks
from lifecycle.evaluation.checks import CheckRunner, Checks
from lifecycle.evaluation.framework import acknowledge
from lifecycle.loader.resolver import LiveAgent
from lifecycle.specs.spec import AgentSpec
from llmops.evaluation.history import Evaluation, Evaluations
from llmops.evaluation.policy import EvaluationPolicy
from llmops.evaluation.scoring import Score, sampled, score_of

if TYPE_CHECKING:
    from agent_framework import EvalItem, Message

log = logging.getLogger(__name__)

JUDGE = "judge"
FOUNDRY = "foundry"


@dataclass(frozen=True, slots=True)
class ScoringPolicy:
    """The app's part of how answers are scored.

    Attributes:
        share: Share of the answers that are scored where an agent's policy does not say, 0-1.
    """

    share: float


class AnswerScorer:
    """Scores answers and keeps the scores."""

    def __init__(
        self,
        own: Checks,
        runner: CheckRunner,
        history: Evaluations,
        due: DueIndex,
        *,
        policy: ScoringPolicy,
        clock: Clock,
    ) -> None:
        self._own = own
        self._runner = runner
        self._history = history
        self._due = due
        self._policy = policy
        self._clock = clock
        self._announced: dict[tuple[str, str], str] = {}

    async def score(self, run: Run, live: LiveAgent, model: str | None, messages: Sequence[Message]) -> Score | None:
        """Return the score of the answer that the messages are, kept in the agent's history; None when not sampled."""
        policy = live.spec.evaluation or EvaluationPolicy()
        share = self._policy.share if policy.share is None else policy.share
        if not sampled(run.id, share):
            return None
        schema = live.spec.response_format.json_schema if live.spec.response_format else None
        checks = builtin_checks(policy, run.expected_topics, schema)
        checks += [self._own[name] for name in policy.checks if name in self._own]
        score = score_of(await self._runner.run(checks, item_of(run, messages)), policy.weights)
        if score is None:
            return None
        now = self._clock()
        evaluation = Evaluation(
            run.workspace,
            run.agent,
            live.version.version,
            run.id,
            run.session_id,
            run.attempt,
            now,
            score,
            model=model or "",
        )
        try:
            await self._announce(run.workspace, run.agent, now)
            await self._history.record(evaluation, judges_of(live.spec, run.id))
        except AppError as error:
            # The answer is paid for: it is not given up because its score cannot be kept apart from the run.
            log.warning("score not kept: %s", error.code, extra={"event": "evaluation.not_recorded"})
        return score

    async def _announce(self, workspace: str, agent: str, now: datetime) -> None:
        """Enter the agent for the timer that folds and judges; once an hour for each agent and worker."""
        hour = hour_bucket(now)
        if self._announced.get((workspace, agent)) != hour:
            await self._due.add(workspace, agent, now)
            self._announced[workspace, agent] = hour


def judges_of(spec: AgentSpec, run_id: str) -> Sequence[str]:
    """Return the judges that are to be heard of the run's answer."""
    policy = spec.evaluation
    if policy is None:
        return ()
    asked = ((JUDGE, policy.judge), (FOUNDRY, policy.foundry))
    return [name for name, judge in asked if judge is not None and sampled(f"{name}!{run_id}", judge.share)]


def item_of(run: Run, messages: Sequence[Message]) -> EvalItem:
    """Return the question and the answer's messages as Agent Framework evaluates them.

    What the answer must be borne out by is the run's context together with what tools returned; where a run has no
    context, that is not asked.
    """
    from agent_framework import EvalItem, Message  # noqa: PLC0415 - cold start

    context = None
    if run.context is not None:
        contents = [content for message in messages for content in message.contents]
        returned = [str(content.result) for content in contents if content.type == "function_result"]
        context = "\n\n".join([run.context, *returned])
    acknowledge()
    return EvalItem([Message("user", [run.query]), *messages], context=context)
