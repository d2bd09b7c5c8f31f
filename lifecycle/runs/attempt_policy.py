"""How attempts at runs are made, and what can be known of one before it begins."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from kernel.errors import RunFailed
from lifecycle.conversations.run import Run, Stage
from lifecycle.conversations.store import Turn
from lifecycle.loader.resolver import LiveAgent
from lifecycle.runs.guard import GuardPolicy
from lifecycle.runs.tool_calls import ToolRules
from llmops.evaluation.scoring import Score
from llmops.facts.model import Call

if TYPE_CHECKING:
    from agent_framework import Message

    from lifecycle.specs.spec import AgentSpec


class ScoreAnswer(Protocol):
    """Scores a run's answer, which stands in the messages; None where it is not to be scored."""

    def __call__(
        self, run: Run, live: LiveAgent, messages: Sequence[Message], *, finish_reason: str | None = None
    ) -> Awaitable[Score | None]:
        """Score it, with why the model ended it; None when unknown."""
        ...


def check_whole(spec: AgentSpec, finish_reason: str) -> None:
    """Check that an answer that ended so may be given.

    Raises:
        RunFailed: It was cut, which the agent does not accept; another attempt would be cut as well.
    """
    if spec.evaluation is not None and spec.evaluation.refuses(finish_reason):
        msg = f"The model did not end its answer ({finish_reason}); allow it more tokens, or accept cut answers."
        raise RunFailed(msg, code="answer_truncated")


@dataclass(frozen=True, slots=True)
class AttemptPolicy:
    """How attempts are made.

    Attributes:
        timeout: How long one may take.
        history_turns: Most messages of the history that the model is given.
        history_tokens: Most tokens of the history that the model is given, where the session does not say.
        output_tokens: Most tokens of a model call's answer within budgets, where the agent does not say.
        guard: When a run has run away, where the agent does not say.
        tools: What tool calls are subject to.
    """

    timeout: timedelta
    history_turns: int
    history_tokens: int
    output_tokens: int
    guard: GuardPolicy
    tools: ToolRules = field(default_factory=ToolRules)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What can be known of an attempt before the run is claimed.

    Attributes:
        history: The latest messages of the session, from the number `first` on, where it has `turns` in all.
        call: The first model call at its estimate; None where it is noted later: the agent is not at hand, or budgets
            apply.
        stage: The stage that the attempt begins with, where the agent is at hand.
    """

    first: int = 0
    turns: int = -1
    history: Sequence[Turn] = ()
    call: Call | None = None
    stage: Stage = Stage.INITIALIZING
