"""Settings of attempts, and what can be prepared before a run is claimed.

Failures of attempts: their translation, and what they require of the agent before the next attempt.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from kernel.errors import AppError, InternalError, RunFailed, Unavailable
from kernel.ids import new_id
from lifecycle.conversations.run import Run, Stage
from lifecycle.conversations.session_store import Turn
from lifecycle.registry.actor_operations import KeepVersion, Verify
from lifecycle.runs.runaway_guard import GuardPolicy
from lifecycle.runs.tool_calls import ToolRules
from lifecycle.teams.handoff import HandedOver
from llmops.facts.attempt_fact import Call

if TYPE_CHECKING:
    from agent_framework import Message

    from lifecycle.loader.agent_resolver import LiveAgent
    from lifecycle.loader.use_reports import UsedAgents
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.registry.declarations import Pin
    from lifecycle.specs.spec import AgentSpec
    from llmops.evaluation.combined_score import Score

log = logging.getLogger(__name__)


class ScoreAnswer(Protocol):
    """Scores a run's answer; returns None if it is not sampled."""

    def __call__(
        self, run: Run, live: LiveAgent, messages: Sequence[Message], *, finish_reason: str | None = None
    ) -> Awaitable[Score | None]:
        """Score the answer in the messages; `finish_reason` is why the model stopped, None when unknown."""
        ...


def check_whole(spec: AgentSpec, finish_reason: str) -> None:
    """Check that an answer with this finish reason may be given.

    Raises:
        RunFailed: It was cut, which the agent's spec does not accept; another attempt would be cut too.
    """
    if spec.evaluation is not None and spec.evaluation.refuses(finish_reason):
        msg = f"The model did not end its answer ({finish_reason}); allow it more tokens, or accept cut answers."
        raise RunFailed(msg, code="answer_truncated")


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


async def let_go(
    agents: UsedAgents, signals: AgentSignals, live: LiveAgent, pin: Pin | None, failure: AppError
) -> AppError:
    """Uncache the agent, have its actor create what is missing, and return the failure as an `AppError`."""
    if isinstance(failure, HandedOver):
        return failure
    agents.forget(live.workspace, live.name, pin)
    if failure.code == "agent_version_gone":
        operation = KeepVersion(new_id(), pin.spec) if pin else Verify(new_id())
        await signals.send(live.workspace, live.name, operation)
    if failure.code == "provider_disabled" and await agents.retired_or_restored_since(live):
        msg = "The agent was retired while the run began; it is restored."
        return Unavailable(msg, code="agent_retired")
    return failure


def translated(live: LiveAgent, error: Exception) -> AppError:
    """Return an exception of an attempt as an `AppError`."""
    found = error if isinstance(error, AppError) else live.provider.translate(error)
    return defect(error) if isinstance(found, InternalError) else found


def defect(error: Exception) -> InternalError:
    """Log where an unexpected exception was raised, without its text, which may quote a prompt."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    log.error("%s at %s:%d", type(error).__name__, frame.filename, frame.lineno or 0, extra={"event": "run.defect"})
    return InternalError()
