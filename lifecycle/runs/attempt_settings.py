"""Settings of attempts, and what can be prepared before a run is claimed."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.run import Run, Stage
from lifecycle.conversations.session_store import Turn
from lifecycle.runs.runaway_guard import GuardPolicy
from lifecycle.runs.tool_calls import ToolRules
from llmops.facts.attempt_fact import Call

if TYPE_CHECKING:
    from agent_framework import Message

    from lifecycle.loader.agent_resolver import LiveAgent
    from llmops.evaluation.combined_score import Score


class ScoreAnswer(Protocol):
    """Scores a run's answer; returns None if it is not sampled."""

    def __call__(
        self, run: Run, live: LiveAgent, messages: Sequence[Message], *, finish_reason: str | None = None
    ) -> Awaitable[Score | None]:
        """Score the answer in the messages; `finish_reason` is why the model stopped, None when unknown."""
        ...


@dataclass(frozen=True, slots=True)
class AttemptPolicy:
    """Settings of attempts.

    Attributes:
        timeout: How long an attempt may take.
        history_turns: Most messages of the history sent to the model.
        history_tokens: Most tokens of the history sent to the model, if the session sets none.
        output_tokens: Most output tokens of a model call within budgets, if the agent sets none.
        guard: When a run counts as runaway, if the agent does not set it.
        tools: Rules of tool calls.
    """

    timeout: timedelta
    history_turns: int
    history_tokens: int
    output_tokens: int
    guard: GuardPolicy
    tools: ToolRules = field(default_factory=ToolRules)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is prepared for an attempt before its run is claimed.

    Attributes:
        history: The session's latest messages, from number `first` on, when it had `turns` in all.
        call: The first model call at its estimate; None if it is stored later, as the agent is not cached or budgets
            apply.
        stage: The stage that the attempt begins with, if the agent is cached.
    """

    first: int = 0
    turns: int = -1
    history: Sequence[Turn] = ()
    call: Call | None = None
    stage: Stage = Stage.INITIALIZING
