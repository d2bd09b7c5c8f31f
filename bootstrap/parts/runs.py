"""Composition of runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.parts.agents import AgentServices
    from bootstrap.parts.approvals import ApprovalServices
    from bootstrap.parts.budgets import BudgetServices
    from bootstrap.parts.capacity import CapacityServices
    from bootstrap.parts.conversations import ConversationServices
    from bootstrap.parts.core import Core
    from bootstrap.parts.evaluation import EvaluationServices
    from bootstrap.parts.events import EventServices
    from bootstrap.parts.extensions import ExtensionServices
    from bootstrap.parts.sessions import SessionServices
    from bootstrap.parts.spend import SpendServices
    from bootstrap.parts.teams import TeamServices
    from lifecycle.evaluation.feedback import RunFeedback
    from lifecycle.evaluation.judging_round import JudgeEvaluation
    from lifecycle.registry.catalog import Agent
    from lifecycle.runs.attempt import AttemptFactory
    from lifecycle.runs.cancel import RunCancel
    from lifecycle.runs.dead_letters import DeadLetters
    from lifecycle.runs.failed_runs import FailedRunStore
    from lifecycle.runs.message_signatures import Provenance
    from lifecycle.runs.resume import RunResume
    from lifecycle.runs.retries import Requeue, SendAt
    from lifecycle.runs.run_queries import RunList, RunQueries
    from lifecycle.runs.run_queue import RunQueue
    from lifecycle.runs.run_submission import RunSubmission
    from lifecycle.runs.run_timeline import RunSteps
    from lifecycle.runs.worker import RunWorker
    from llmops.facts.scores import Evaluation


@dataclass(eq=False)
class RunServices:
    """Builds the use cases of runs: submission, work, queries, dead letters, judges."""

    _core: Core
    _events: EventServices
    _spend: SpendServices
    _extensions: ExtensionServices
    _conversations: ConversationServices
    _budgets: BudgetServices
    _approvals: ApprovalServices
    _agents: AgentServices
    _evaluation: EvaluationServices
    _sessions: SessionServices
    _teams: TeamServices
    _capacity: CapacityServices

    @cached_property
    def submission(self) -> RunSubmission:
        """Accepts runs."""
        from lifecycle.runs.run_submission import RunSubmission, SubmitPolicy

        return RunSubmission(
            self._agents.catalog,
            self._conversations.store,
            self._conversations.directory,
            self._sessions.start,
            self._teams.routing,
            policy=SubmitPolicy(
                self._core.session_idle_after,
                timedelta(seconds=self._core.settings.agent_cache_trust),
                self._admit,
            ),
            clock=self._core.clock,
        )

    async def _admit(self, agent: Agent) -> None:
        if await self._capacity.pools.of(agent.workspace):
            from llmops.capacity.admission import AdmissionRequest

            claim = AdmissionRequest(agent.workspace, agent.name, agent.declaration.spec.labels)
            await self._capacity.admission.admit(claim)

    @cached_property
    def worker(self) -> RunWorker:
        """Carries out runs."""
        from lifecycle.runs.entering_waits import WaitingRuns
        from lifecycle.runs.worker import RunPolicy, RunWorker

        settings = self._core.settings
        policy = RunPolicy(
            lease=timedelta(seconds=settings.run_lease),
            look_every=timedelta(seconds=settings.run_look_every),
            max_attempts=settings.run_max_attempts,
            retry_base_s=settings.run_retry_base,
            retry_longest_s=settings.run_retry_longest,
        )
        blocked = WaitingRuns(self._budgets.waits, self._budgets.events, self._approvals.requests, self._core.clock)
        return RunWorker(
            self._conversations.store,
            self.submission,
            self.attempts,
            self._conversations.recorder,
            blocked,
            self._core.clock,
            policy,
        )

    def requeue(self, send: SendAt) -> Requeue:
        """Return the use case that puts runs back on the queue."""
        from lifecycle.runs.retries import Requeue

        return Requeue(send, self._conversations.pause)

    @cached_property
    def attempts(self) -> AttemptFactory:
        """Creates attempts at runs."""
        from lifecycle.loader.use_reports import UsedAgents
        from lifecycle.runs.attempt import AttemptFactory, AttemptPolicy
        from lifecycle.runs.runaway_guard import GuardPolicy
        from lifecycle.runs.tool_calls import ToolRules

        settings = self._core.settings
        policy = AttemptPolicy(
            timedelta(seconds=settings.run_timeout),
            settings.history_turns,
            settings.history_tokens,
            settings.budget_output_tokens,
            GuardPolicy(settings.runaway_same_tool_calls, round(settings.runaway_usd_per_minute * 1_000_000)),
            ToolRules(setting=self._extensions.setting, approvals=self._approvals.gate, handoffs=self._teams.handoffs),
        )
        agents = UsedAgents(self._agents.resolver, self._agents.use_recorder)
        return AttemptFactory(
            self._conversations.store,
            agents,
            self._budgets.service,
            self._budgets.rates,
            self._evaluation.scorer.score,
            self._core.clock,
            policy,
        )

    @cached_property
    def feedback(self) -> RunFeedback:
        """Records users' feedback on answers."""
        from lifecycle.evaluation.feedback import RunFeedback

        scores, conversations = self._evaluation.scores, self._conversations.store
        return RunFeedback(self._spend.facts, scores, conversations, self._agents.catalog, self._core.clock)

    @cached_property
    def judges(self) -> JudgeEvaluation:
        """Asks judges about answers."""
        from lifecycle.evaluation.answer_scoring import FOUNDRY
        from lifecycle.evaluation.judge_costs import ATTEMPT, JUDGE, JudgingCharges
        from lifecycle.evaluation.judges import agent_judge, foundry_judge
        from lifecycle.evaluation.judging_round import JudgeEvaluation

        charges = JudgingCharges(self._budgets.service, self._spend.facts, self._budgets.rates, self._core.clock)

        async def forget_user(of: Evaluation) -> None:
            await self._budgets.service.free(of.workspace, of.run_id, ATTEMPT + 1)
            await self._spend.redaction.redact(of.workspace, of.agent, of.run_id, of.accepted_at, self._core.clock())

        return JudgeEvaluation(
            {
                JUDGE: agent_judge(self._agents.resolver, charges),
                FOUNDRY: foundry_judge(self._evaluation.foundry_evaluator, charges),
            },
            self._evaluation.scores,
            self._agents.catalog,
            self._conversations.store,
            charges,
            forget_user,
            self._core.clock,
        )

    @cached_property
    def queries(self) -> RunQueries:
        """Reads runs by their id."""
        from lifecycle.runs.run_queries import RunQueries

        return RunQueries(
            self._conversations.store, self._conversations.directory, self._conversations.waiters, self._core.clock
        )

    @cached_property
    def cancel(self) -> RunCancel:
        """Cancels runs, and lets sessions continue that waited for them."""
        from lifecycle.runs.cancel import RunCancel

        conversations = self._conversations
        return RunCancel(self.queries, self._approvals.decisions, conversations.store, conversations.pause)

    @cached_property
    def list(self) -> RunList:
        """Lists runs."""
        from lifecycle.runs.run_queries import RunList

        return RunList(self._conversations.store, self._conversations.directory)

    @cached_property
    def steps(self) -> RunSteps:
        """Reads the steps of runs."""
        from lifecycle.runs.run_timeline import RunSteps

        return RunSteps(self.queries, self._spend.facts, self._core.clock)

    @cached_property
    def resume(self) -> RunResume:
        """Resumes runs that a budget stopped."""
        from lifecycle.runs.resume import RunResume

        return RunResume(
            self._budgets.waits, self._conversations.store, self.queries, self._conversations.pause, self._core.clock
        )

    def dead_letters(self, queue: RunQueue) -> DeadLetters:
        """Return the use cases of the queue's dead letters."""
        from lifecycle.runs.dead_letters import DeadLetters, DeadMessageReader
        from lifecycle.workflows.request import parse_workflow_message

        return DeadLetters(
            queue,
            self._conversations.store,
            self._failed_run_letters,
            self._conversations.recorder,
            self._events.journal,
            DeadMessageReader(self.provenance, self._core.settings.max_query_bytes, parse_workflow_message),
            self._core.clock,
        )

    @cached_property
    def provenance(self) -> Provenance:
        """Which workspaces a message's sender may name."""
        from lifecycle.runs.message_signatures import Provenance, parse_queue_pins

        key = self._core.settings.queue_signing_key.get_secret_value()
        return Provenance(key, parse_queue_pins(self._core.settings.queue_workspaces))

    @cached_property
    def _failed_run_letters(self) -> FailedRunStore:
        from lifecycle.conversations.failed_run_index import FailedRuns
        from lifecycle.runs.failed_runs import FailedRunStore

        return FailedRunStore(
            FailedRuns(self._core.tables), self._conversations.store, self._conversations.directory, self._core.clock
        )
