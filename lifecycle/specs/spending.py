"""What a spec says of spending: the ladder an agent goes down as its budgets are used up, and when it runs away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from kernel.ids import MODEL_NAME

_Model = Annotated[str, StringConstraints(pattern=f"^{MODEL_NAME}$")]


class DegradationStep(BaseModel):
    """What an agent does from a share of its budget on: a cheaper model, ask, stop.

    Attributes:
        at: From how many percent of a budget on, 1-100: of the one that is nearest to its limit.
        do: `warn` tells; `cheaper_model` goes on with `model`; `ask` waits for an operator's approval; `stop` waits.
        model: The model to go on with; with `cheaper_model` only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    at: int = Field(ge=1, le=100, strict=True)
    do: Literal["warn", "cheaper_model", "ask", "stop"]
    model: _Model | None = None

    @model_validator(mode="after")
    def _consistent(self) -> DegradationStep:
        if (self.do == "cheaper_model") != (self.model is not None):
            msg = "model belongs to cheaper_model, and to nothing else"
            raise ValueError(msg)
        return self


class Runaway(BaseModel):
    """When a run of the agent has run away and is failed, instead of the app's settings.

    Attributes:
        same_tool_calls: Calls of one tool with the same arguments in one attempt; the next one is not made. 0 for any.
        usd_per_minute: What a run may spend within a minute, in USD. 0 for anything.
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
