"""Failures of attempts: their translation, and what they require of the agent before the next attempt."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

from kernel.errors import AppError, InternalError, RunFailed, Unavailable
from kernel.ids import new_id
from lifecycle.registry.actor_operations import KeepVersion, Verify
from lifecycle.teams.handoff import HandedOver

if TYPE_CHECKING:
    from lifecycle.loader.agent_resolver import LiveAgent
    from lifecycle.loader.use_reports import UsedAgents
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.registry.declarations import Pin
    from lifecycle.specs.spec import AgentSpec

log = logging.getLogger(__name__)


def check_whole(spec: AgentSpec, finish_reason: str) -> None:
    """Check that an answer with this finish reason may be given.

    Raises:
        RunFailed: It was cut, which the agent's spec does not accept; another attempt would be cut too.
    """
    if spec.evaluation is not None and spec.evaluation.refuses(finish_reason):
        msg = f"The model did not end its answer ({finish_reason}); allow it more tokens, or accept cut answers."
        raise RunFailed(msg, code="answer_truncated")


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
