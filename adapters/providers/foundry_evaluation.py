"""Microsoft Foundry's evaluators, on Agent Framework's FoundryEvals."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, cast

from agent_framework import EvalItem, EvalResults
from agent_framework.foundry import FoundryEvals
from openai import AsyncOpenAI, OpenAIError

from kernel.errors import AppError
from lifecycle.evaluation.framework_evaluation import acknowledge

log = logging.getLogger(__name__)

Translate = Callable[[Exception], AppError]

_POLL_S = 2.0
_PATIENCE_S = 180.0


class FoundryEvaluation:
    """Evaluates answers with the project's evaluators. It implements `agent_framework.Evaluator`.

    Every call creates an evaluation in the project, waits for it, and deletes it: results are stored in this app, and
    an evaluation per answer would clutter the project.

    Attributes:
        name: The evaluator's name in results.
    """

    name = "foundry"

    def __init__(self, client: AsyncOpenAI, model: str, evaluators: Sequence[str], translate: Translate) -> None:
        """Set the project's client, the judging deployment, the evaluators, and how the client's errors translate."""
        acknowledge()
        self._client = client
        self._translate = translate
        self._evals = FoundryEvals(
            client=cast("Any", client),
            model=model,
            evaluators=list(evaluators),
            poll_interval=_POLL_S,
            timeout=_PATIENCE_S,
        )

    async def evaluate(self, items: Sequence[EvalItem], *, eval_name: str) -> EvalResults:
        """Return the evaluators' results.

        Raises:
            AppError: They could not be asked (`lifecycle.registry.providers.AgentProvider.translate`).
        """
        try:
            results = await self._evals.evaluate(items, eval_name=eval_name)
        except Exception as error:
            raise self._translate(error) from error
        try:
            await self._client.evals.delete(results.eval_id)
        except OpenAIError as error:
            log.warning("evaluation not deleted: %s", type(error).__name__, extra={"event": "evaluation.left_behind"})
        return results
