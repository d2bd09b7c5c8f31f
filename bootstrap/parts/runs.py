"""The parts of sessions and runs."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.budgets import BudgetParts
from bootstrap.parts.evaluation import EvaluationParts
from bootstrap.parts.performance import PerformanceParts

if TYPE_CHECKING:
    from lifecycle.evaluation.judging import Judges
    from lifecycle.runs.attempts import Attempts
    from lifecycle.runs.deadletters import DeadLetters
    from lifecycle.runs.desk import RunDesk
    from lifecycle.runs.endings import Endings
    from lifecycle.runs.intake import Intake
    from lifecycle.runs.notices import Notices
    from lifecycle.runs.queue import RunQueue
    from lifecycle.runs.resuming import RunResume
    from lifecycle.runs.runner import Runner
    from lifecycle.sessions.erasing import SessionErasure
    from lifecycle.sessions.starting import SessionStart
    from llmops.facts.forgetting import RunForgetting


class RunParts(EvaluationParts, BudgetParts, PerformanceParts):
    """Makes sessions and runs."""

    @cached_property
    def intake(self) -> Intake:
        """Accepts runs."""
        from lifecycle.runs.intake import Intake

        return Intake(
            self.catalog,
            self.conversations,
            self.directory,
            self.session_start,
            session_idle_after=self._session_idle_after,
            clock=self.clock,
        )

    @cached_property
    def session_start(self) -> SessionStart:
        """Starts sessions."""
        from lifecycle.sessions.starting import SessionStart

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
        from lifecycle.sessions.erasing import SessionErasure

        return SessionErasure(
            self.conversations,
            self.directory,
            self._due("erasure"),
            providers=self.providers,
            forgetting=self._forgetting,
            complete=self._endings.found,
            treasury=self.treasury,
            waits=self.waits,
            journal=self.journal,
            clock=self.clock,
        )

    @cached_property
    def _forgetting(self) -> RunForgetting:
        from llmops.facts.forgetting import RunForgetting

        return RunForgetting(self.tables, self.daily_costs.rewrite)

    @cached_property
    def runner(self) -> Runner:
        """Runs runs."""
        from lifecycle.runs.runner import Runner, RunPolicy

        settings = self.settings
        policy = RunPolicy(
            lease=timedelta(seconds=settings.run_lease),
            look_every=timedelta(seconds=settings.run_look_every),
            max_attempts=settings.run_max_attempts,
            retry_base_s=settings.run_retry_base,
        )
        return Runner(
            self.catalog,
            self.conversations,
            self.intake,
            self.attempts,
            ledger=self.ledger,
            waits=self.waits,
            news=self.budget_news,
            notices=self._notices,
            endings=self._endings,
            clock=self.clock,
            policy=policy,
        )

    @cached_property
    def attempts(self) -> Attempts:
        """Makes attempts at runs."""
        from lifecycle.runs.attempts import AttemptPolicy, Attempts
        from lifecycle.runs.guard import GuardPolicy

        settings = self.settings
        policy = AttemptPolicy(
            timedelta(seconds=settings.run_timeout),
            settings.history_turns,
            settings.history_tokens,
            settings.budget_output_tokens,
            GuardPolicy(settings.runaway_same_tool_calls, round(settings.runaway_usd_per_minute * 1_000_000)),
        )
        return Attempts(
            self.conversations,
            self.resolver,
            treasury=self.treasury,
            rates=self.rates,
            uses=self.uses,
            scorer=self.scorer,
            clock=self.clock,
            policy=policy,
        )

    @cached_property
    def judges(self) -> Judges:
        """Hears judges of answers."""
        from lifecycle.evaluation.charging import JUDGE, JudgingCharges
        from lifecycle.evaluation.judges import agent_judge, foundry_judge
        from lifecycle.evaluation.judging import Judges
        from lifecycle.evaluation.scorer import FOUNDRY

        charges = JudgingCharges(self.treasury, self.facts, self.rates, self.clock)
        return Judges(
            {JUDGE: agent_judge(self.resolver, charges), FOUNDRY: foundry_judge(self._foundry_evaluator, charges)},
            self.evaluations,
            self.catalog,
            self.conversations,
            treasury=self.treasury,
            forgetting=self._forgetting,
            clock=self.clock,
        )

    @cached_property
    def desk(self) -> RunDesk:
        """Reads and cancels runs by their id."""
        from lifecycle.runs.desk import RunDesk

        return RunDesk(self.conversations, self.directory, self._notices, self.clock)

    @cached_property
    def run_resume(self) -> RunResume:
        """Lets runs go on that a budget has stopped."""
        from lifecycle.runs.resuming import RunResume

        return RunResume(self.waits, self.conversations, self.desk, self.session_pause, self.clock)

    def dead_letters(self, queue: RunQueue) -> DeadLetters:
        """Return what looks after the queue's dead letters."""
        from lifecycle.runs.deadletters import DeadLetters

        limit = self.settings.max_query_bytes
        return DeadLetters(queue, self.conversations, self._endings, max_query_bytes=limit, clock=self.clock)

    @cached_property
    def _endings(self) -> Endings:
        from lifecycle.runs.endings import Endings

        return Endings(self.facts, self.treasury, self._notices, self.clock)

    @cached_property
    def _notices(self) -> Notices:
        from lifecycle.runs.notices import Notices

        return Notices()
