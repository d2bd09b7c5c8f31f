"""The parts of evaluation."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, cast

from bootstrap.parts.registry import RegistryParts

if TYPE_CHECKING:
    from adapters.check_processes import CheckProcessPool
    from adapters.providers.foundry import FoundryProvider
    from adapters.providers.foundry_evaluation import FoundryEvaluation
    from lifecycle.evaluation.comparison import VersionComparison
    from lifecycle.evaluation.scorer import AnswerScorer
    from llmops.evaluation.policy import FoundryPolicy
    from llmops.facts.scores import Evaluations

BUILTIN_PROCESSES = 2
OWN_PROCESSES = 4
"""Most processes of a worker for checks: of schemas and long texts, and for the app's own."""


class EvaluationParts(RegistryParts):
    """Makes evaluation."""

    @cached_property
    def evaluations(self) -> Evaluations:
        """The scores of answers."""
        from llmops.facts.scores import Evaluations

        return Evaluations(self.tables, self.clock)

    @cached_property
    def comparison(self) -> VersionComparison:
        """Compares versions by their scores."""
        from lifecycle.evaluation.comparison import VersionComparison

        return VersionComparison(self.catalog, self.evaluations)

    async def _foundry_evaluator(self, policy: FoundryPolicy) -> FoundryEvaluation:
        provider = cast("FoundryProvider", self.providers["foundry"])
        return await provider.evaluator(policy.model, policy.evaluators)

    @cached_property
    def check_processes(self) -> tuple[CheckProcessPool, CheckProcessPool]:
        """Where built-in checks run, and where the app's own; no process is started before one is needed."""
        from adapters.check_processes import CheckProcessPool

        return CheckProcessPool(BUILTIN_PROCESSES), CheckProcessPool(OWN_PROCESSES)

    @cached_property
    def scorer(self) -> AnswerScorer:
        """Scores answers."""
        from lifecycle.evaluation.checks import CheckRunner
        from lifecycle.evaluation.scorer import AnswerScorer, ScoringPolicy

        return AnswerScorer(
            self.checks,
            CheckRunner(timedelta(seconds=self.settings.check_timeout), *self.check_processes),
            ScoringPolicy(self.settings.evaluation_share),
        )
