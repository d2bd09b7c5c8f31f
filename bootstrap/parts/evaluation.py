"""Composition of evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from adapters.check_processes import CheckProcessPool
    from adapters.providers.foundry import FoundryProvider
    from adapters.providers.foundry_evaluation import FoundryEvaluation
    from bootstrap.parts.agents import AgentServices
    from bootstrap.parts.core import Core
    from bootstrap.parts.extensions import ExtensionServices
    from lifecycle.evaluation.answer_scoring import AnswerScorer
    from lifecycle.evaluation.version_comparison import VersionComparison
    from llmops.evaluation.policy import FoundryPolicy
    from llmops.facts.scores import Evaluations


BUILTIN_PROCESSES = 2
OWN_PROCESSES = 4
"""Most check processes per worker: for schemas and long texts, and for extensions' checks."""


@dataclass(eq=False)
class EvaluationServices:
    """Builds the scoring of answers, and the comparison of versions."""

    _core: Core
    _extensions: ExtensionServices
    _agents: AgentServices

    @cached_property
    def scores(self) -> Evaluations:
        """Reads and changes scores of answers."""
        from llmops.facts.scores import Evaluations

        return Evaluations(self._core.tables, self._core.clock)

    @cached_property
    def comparison(self) -> VersionComparison:
        """Compares versions by their scores."""
        from lifecycle.evaluation.version_comparison import VersionComparison

        return VersionComparison(self._agents.catalog, self.scores)

    async def foundry_evaluator(self, policy: FoundryPolicy) -> FoundryEvaluation:
        """Return the Microsoft Foundry evaluators that the policy names."""
        provider = cast("FoundryProvider", self._agents.providers["foundry"])
        return await provider.evaluator(policy.model, policy.evaluators)

    @cached_property
    def check_processes(self) -> tuple[CheckProcessPool, CheckProcessPool]:
        """The processes for built-in checks and for extensions' checks; none is started before it is needed."""
        from adapters.check_processes import CheckProcessPool

        closes = self._core.closes
        return closes(CheckProcessPool(BUILTIN_PROCESSES)), closes(CheckProcessPool(OWN_PROCESSES))

    @cached_property
    def scorer(self) -> AnswerScorer:
        """Scores answers."""
        from lifecycle.evaluation.answer_scoring import AnswerScorer, ScoringPolicy
        from lifecycle.evaluation.checks import CheckRunner

        return AnswerScorer(
            self._extensions.checks,
            CheckRunner(timedelta(seconds=self._core.settings.check_timeout), *self.check_processes),
            ScoringPolicy(self._core.settings.evaluation_share),
        )
