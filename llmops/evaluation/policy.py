"""The evaluation policy of an agent, part of its spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from kernel.ids import MODEL_NAME
from llmops.evaluation.markdown import Structure
from llmops.evaluation.text_checks import CUT

Share = Annotated[float, Field(ge=0, le=1, strict=True)]
Weight = Annotated[float, Field(ge=0, le=100, strict=True)]
PartName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,64}$")]
Topic = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Words = Annotated[int, Field(ge=0, le=1_000_000, strict=True)]


class JudgePolicy(BaseModel):
    """Having another agent judge answers, after they are given (LLM as a judge).

    Attributes:
        agent: The judging agent, of the same workspace. It gets the question, the answer and the rubric, and answers
            with a
            JSON object: `score` 1-5, `reason`.
        rubric: Description of a good answer.
        share: Share of the answers that are judged, 0-1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    agent: Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$")]
    rubric: str = Field(
        default="It answers the question, is correct as far as can be told, complete, and no longer than needed.",
        min_length=1,
        max_length=8000,
    )
    share: Share = 1.0


class FoundryPolicy(BaseModel):
    """Having evaluators of Microsoft Foundry judge answers, after they are given.

    Attributes:
        model: The model deployment that the evaluators use.
        evaluators: Names of built-in evaluators, such as `relevance` and `coherence`.
        share: Share of the answers that are judged, 0-1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    model: Annotated[str, StringConstraints(pattern=f"^{MODEL_NAME}$")]
    evaluators: tuple[PartName, ...] = Field(default=("relevance", "coherence"), min_length=1, max_length=16)
    share: Share = 0.1


class EvaluationPolicy(BaseModel):
    """How an agent's answers are evaluated; fields left out are not checked.

    Attributes:
        share: Share of the answers that are scored, 0-1; None for the app's setting.
        topics: Topics that every answer should mention, in addition to a run's own `expected_topics`.
        citations: Number of different sources an answer should cite.
        structure: Elements an answer should have.
        min_words: Fewest words of an answer.
        max_words: Most words of an answer.
        checks: Names of extensions' checks (`lifecycle.evaluation.checks`), in addition to the built-in ones.
        on_truncated: What happens to a run whose answer was cut off (`texts.CUT`): `accept` keeps the answer, with a
            part
            `complete` of 0 in its score; `fail` fails the run.
        weights: Weights of parts in the overall score; 1 where not given, 0 to leave a part out.
        judge: An agent that judges answers.
        foundry: Evaluators of Microsoft Foundry; they need the app's Foundry project.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    share: Share | None = None
    topics: tuple[Annotated[str, StringConstraints(min_length=1, max_length=128)], ...] = Field(
        default=(), max_length=32
    )
    citations: int | None = Field(default=None, ge=1, le=100, strict=True)
    structure: tuple[Structure, ...] = Field(default=(), max_length=6)
    min_words: Words | None = None
    max_words: Words | None = None
    checks: tuple[PartName, ...] = Field(default=(), max_length=16)
    on_truncated: Literal["accept", "fail"] = "accept"
    weights: Mapping[PartName, Weight] = Field(default={}, max_length=64)
    judge: JudgePolicy | None = None
    foundry: FoundryPolicy | None = None

    @model_validator(mode="after")
    def _consistent(self) -> EvaluationPolicy:
        if self.min_words is not None and self.max_words is not None and self.min_words > self.max_words:
            msg = "min_words must not be above max_words"
            raise ValueError(msg)
        return self

    def refuses(self, finish_reason: str | None) -> bool:
        """Return whether a run with this finish reason fails: its answer was cut off and the policy is to fail it."""
        return self.on_truncated == "fail" and finish_reason in CUT
