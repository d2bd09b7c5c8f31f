"""Spending rules of a spec: degradation steps as budgets are used up, and limits of runaway runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from kernel.ids import MODEL_NAME

_Model = Annotated[str, StringConstraints(pattern=f"^{MODEL_NAME}$")]


class DegradationStep(BaseModel):
    """What an agent does from a used share of its budget on: warn, use a cheaper model, ask, or stop.

    Attributes:
        at: Used share of the budget nearest to its limit from which the step applies, in percent, 1-100.
        do: `warn` sends an event; `cheaper_model` continues with `model`; `ask` waits for an approval; `stop` waits.
        model: The cheaper model; only with `cheaper_model`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    at: int = Field(ge=1, le=100, strict=True)
    do: Literal["warn", "cheaper_model", "ask", "stop"]
    model: _Model | None = None

    @model_validator(mode="after")
    def _consistent(self) -> DegradationStep:
        if (self.do == "cheaper_model") != (self.model is not None):
            msg = "model is required with cheaper_model, and only allowed there"
            raise ValueError(msg)
        return self


class Runaway(BaseModel):
    """When a run of the agent counts as runaway and fails; replaces the app's settings.

    Attributes:
        same_tool_calls: Most calls of one tool with the same arguments in one attempt; 0 for no limit.
        usd_per_minute: Most that a run may spend within a minute, in USD; 0 for no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    same_tool_calls: int | None = Field(default=None, ge=0, le=10_000, strict=True)
    usd_per_minute: float | None = Field(default=None, ge=0, le=1_000_000, strict=True)


def check_ladder(ladder: Sequence[DegradationStep], provider: str) -> None:
    """Check what the types cannot say.

    Raises:
        ValueError: The steps do not ascend, or ask for what the provider cannot do.
    """
    steps = [rung.at for rung in ladder]
    if steps != sorted(set(steps)):
        msg = "ladder must ascend by 'at'"
        raise ValueError(msg)
    if provider == "route" and any(rung.do == "cheaper_model" for rung in ladder):
        msg = "ladder cannot change the model of a routed agent, whose route chooses it; declare a cheaper agent"
        raise ValueError(msg)
    if provider == "foundry" and any(rung.do == "cheaper_model" for rung in ladder):
        msg = "ladder cannot change the model of a 'foundry' agent, whose version pins it; declare a cheaper agent"
        raise ValueError(msg)


def reached(ladder: Sequence[DegradationStep], percent: int) -> Sequence[DegradationStep]:
    """Return the steps that are reached when so many percent are spent, the lowest first."""
    return [rung for rung in ladder if rung.at <= percent]
