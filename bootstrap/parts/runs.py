"""The parts of sessions and runs."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.approvals import ApprovalParts
from bootstrap.parts.evaluation import EvaluationParts
from bootstrap.parts.performance import PerformanceParts

if TYPE_CHECKING:
    from lifecycle.evaluation.feedback import RunFeedback
    from lifecycle.evaluation.judging import JudgeEvaluation
    from lifecycle.runs.attempt import AttemptFactory
    from lifecycle.runs.dead_letters import DeadLetters
    from lifecycle.runs.failed_runs import FailedRunStore
    from lifecycle.runs.list import RunList
    from lifecycle.runs.provenance import Provenance
    from lifecycle.runs.queries import RunQueries
    from lifecycle.runs.queue import RunQueue
    from lifecycle.runs.requeue import Requeue, SendAt
    from lifecycle.runs.resume import RunResume
    from lifecycle.runs.steps import RunSteps
    from lifecycle.runs.submit import RunSubmission
    from lifecycle.runs.worker import RunWorker
    from lifecycle.sessions.erase import SessionErasure
    from lifecycle.sessions.erase_user import UserErasure
    from lifecycle.sessions.start import SessionStart
    from llmops.facts.forgetting import RunRedaction
    from llmops.facts.scores import Evaluation


class RunParts(EvaluationParts, ApprovalParts, PerformanceParts):
    """Makes sessions and runs."""

    @cached_property
    def intake(self) -> RunSubmission:
        """Accepts runs."""
        from lifecycle.runs.submit import RunSubmission, SubmitPolicy

        return RunSubmission(
            self.catalog,
            self.conversations,
            self.directory,
            self.session_start,
            policy=SubmitPolicy(self._session_idle_after, timedelta(seconds=self.settings.agent_cache_trust)),
            clock=self.clock,
        )

    @cached_property
    def session_start(self) -> SessionStart:
        """Starts sessions."""
        from lifecycle.sessions.start import SessionStart

        return SessionStart(
            self.catalog,
            self.conversations,
            self.directory,
            self.pins,
            self._due("session"),
            self.users,
            idle_after=self._session_idle_after,
            clock=self.clock,
        )

    @cached_property
    def session_erasure(self) -> SessionErasure:
        """Erases sessions."""
        from lifecycle.sessions.erase import SessionErasure

        return SessionErasure(
            self.conversations,
            self.directory,
            self._due("erasure"),
            providers=self.providers,
            forgetting=self._forgetting,
            budget_service=self.budget_service,
            forget_waiting=self._forget_waiting,
            journal=self.journal,
            record=self.run_recorder.record,
            clock=self.clock,
        )

    async def _forget_waiting(self, workspace: str, run_id: str) -> None:
        await self.waits.forget(workspace, run_id)
        await self.approvals.erase(workspace, run_id)

    @cached_property
    def user_erasure(self) -> UserErasure:
        """Erases users."""
        from lifecycle.sessions.erase_user import UserErasure

        return UserErasure(
            self.session_erasure,
            self.conversations,
            self.directory,
            self.users,
            self._due("usererasure"),
            self.journal,
            self.clock,
        )

    @cached_property
    def _forgetting(self) -> RunRedaction:
        from llmops.facts.forgetting import RunRedaction

        return RunRedaction(self.tables, self.daily_costs.rewrite)

    @cached_property
    def runner(self) -> RunWorker:
        """Runs runs."""
        from lifecycle.runs.blocked import WaitingRuns
        from lifecycle.runs.worker import RunPolicy, RunWorker

        settings = self.settings
        policy = RunPolicy(
            lease=timedelta(seconds=settings.run_lease),
            look_every=timedelta(seconds=settings.run_look_every),
            max_attempts=settings.run_max_attempts,
            retry_base_s=settings.run_retry_base,
            retry_longest_s=settings.run_retry_longest,
        )
        blocked = WaitingRuns(self.waits, self.budget_events, self._approval_requests, self.clock)
        return RunWorker(self.conversations, self.intake, self.attempts, self.run_recorder, blocked, self.clock, policy)

    def requeue(self, send: SendAt) -> Requeue:
        """Return the way of runs back to the queue."""
        from lifecycle.runs.requeue import Requeue

        return Requeue(send, self.session_pause)

    @cached_property
    def attempts(self) -> AttemptFactory:
        """Makes attempts at runs."""
        from lifecycle.loader.uses import UsedAgents
        from lifecycle.runs.attempt import AttemptFactory, AttemptPolicy
        from lifecycle.runs.guard import GuardPolicy
        from lifecycle.runs.tool_calls import ToolRules

        settings = self.settings
        policy = AttemptPolicy(
            timedelta(seconds=settings.run_timeout),
            settings.history_turns,
            settings.history_tokens,
            settings.budget_output_tokens,
            GuardPolicy(settings.runaway_same_tool_calls, round(settings.runaway_usd_per_minute * 1_000_000)),
            ToolRules(setting=self.setting, approvals=self._approval_gate),
        )
        agents = UsedAgents(self.resolver, self.uses)
        return AttemptFactory(
            self.conversations, agents, self.budget_service, self.rates, self.scorer.score, self.clock, policy
        )

    @cached_property
    def feedback(self) -> RunFeedback:
        """Records what people think of answers."""
        from lifecycle.evaluation.feedback import RunFeedback

        return RunFeedback(self.facts, self.evaluations, self.conversations, self.clock)

    @cached_property
    def judges(self) -> JudgeEvaluation:
        """Asks judges about answers."""
        from lifecycle.evaluation.charging import ATTEMPT, JUDGE, JudgingCharges
        from lifecycle.evaluation.judges import agent_judge, foundry_judge
        from lifecycle.evaluation.judging import JudgeEvaluation
        from lifecycle.evaluation.scorer import FOUNDRY

        charges = JudgingCharges(self.budget_service, self.facts, self.rates, self.clock)

        async def forget_user(of: Evaluation) -> None:
            await self.budget_service.free(of.workspace, of.run_id, ATTEMPT + 1)
            await self._forgetting.redact(of.workspace, of.agent, of.run_id, of.accepted_at, self.clock())

        return JudgeEvaluation(
            {JUDGE: agent_judge(self.resolver, charges), FOUNDRY: foundry_judge(self._foundry_evaluator, charges)},
            self.evaluations,
            self.catalog,
            self.conversations,
            charges,
            forget_user,
            self.clock,
        )

    @cached_property
    def run_queries(self) -> RunQueries:
        """Reads and cancels runs by their id."""
        from lifecycle.runs.queries import RunQueries

        return RunQueries(self.conversations, self.directory, self._waiters, self.clock)

    @cached_property
    def run_list(self) -> RunList:
        """Lists runs."""
        from lifecycle.runs.list import RunList

        return RunList(self.conversations, self.directory)

    @cached_property
    def run_steps(self) -> RunSteps:
        """Reads the steps of runs."""
        from lifecycle.runs.steps import RunSteps

        return RunSteps(self.run_queries, self.facts, self.clock)

    @cached_property
    def run_resume(self) -> RunResume:
        """Lets runs go on that a budget has stopped."""
        from lifecycle.runs.resume import RunResume

        return RunResume(self.waits, self.conversations, self.run_queries, self.session_pause, self.clock)

    def dead_letters(self, queue: RunQueue) -> DeadLetters:
        """Return what looks after the queue's dead letters."""
        from lifecycle.runs.dead_letters import DeadLetters, DeadMessageReader

        return DeadLetters(
            queue,
            self.conversations,
            self._failed_run_letters,
            self.run_recorder,
            self.journal,
            DeadMessageReader(self.provenance, self.settings.max_query_bytes),
            self.clock,
        )

    @cached_property
    def provenance(self) -> Provenance:
        """Whose workspaces messages may name."""
        from lifecycle.runs.provenance import Provenance, parse_queue_pins

        key = self.settings.queue_signing_key.get_secret_value()
        return Provenance(key, parse_queue_pins(self.settings.queue_workspaces))

    @cached_property
    def _failed_run_letters(self) -> FailedRunStore:
        from lifecycle.conversations.failures import FailedRuns
        from lifecycle.runs.failed_runs import FailedRunStore

        return FailedRunStore(FailedRuns(self.tables), self.conversations, self.directory, self.clock)
