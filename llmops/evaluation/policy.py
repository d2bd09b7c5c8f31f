"""How an agent's answers are evaluated."""

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
    """Having an agent judge answers, after they are given.

    Attributes:
        agent: The agent that judges, of the same workspace. It is told the question, the answer and the rubric, and
            answers with a JSON object: `score` 1-5, `reason`.
        rubric: What a good answer is.
        share: Share of the answers it judges, 0-1.
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
    """Having Microsoft Foundry's evaluators judge answers, after they are given.

    Attributes:
        model: The model deployment that they use.
        evaluators: Names of built-in evaluators, like `relevance` and `coherence`.
        share: Share of the answers they judge, 0-1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    model: Annotated[str, StringConstraints(pattern=f"^{MODEL_NAME}$")]
    evaluators: tuple[PartName, ...] = Field(default=("relevance", "coherence"), min_length=1, max_length=16)
    share: Share = 0.1


class EvaluationPolicy(BaseModel):
    """What a good answer of an agent is. What is not said is not checked.

    Attributes:
        share: Share of the answers that are scored, 0-1; None for the app's setting.
        topics: What every answer should speak of, besides a run's own `expected_topics`.
        citations: How many different sources an answer should cite.
        structure: What an answer should have.
        min_words: Fewest words of an answer.
        max_words: Most words of an answer.
        checks: Names of the app's own checks (`lifecycle.evaluation.checks`) to make, besides the built-in ones.
        on_truncated: What becomes of a run whose answer was cut (`texts.CUT`): `accept` keeps the answer, with a part
            `complete` of 0 in its score; `fail` fails the run.
        weights: How much parts count in the overall score; 1 where nothing is said, 0 to leave a part out of it.
        judge: An agent that judges answers.
        foundry: Microsoft Foundry's evaluators; they need the app's Foundry project.
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
        """Return whether a run fails whose answer ended so: it was cut, and the policy does not accept that."""
        return self.on_truncated == "fail" and finish_reason in CUT
