"""Failures of attempts: their translation, and what they require of the agent before the next attempt."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

from kernel.errors import AppError, InternalError, Unavailable
from kernel.ids import new_id
from lifecycle.registry.operations import KeepVersion, Verify
from lifecycle.teams.handoff import HandedOver

if TYPE_CHECKING:
    from lifecycle.loader.resolver import LiveAgent
    from lifecycle.loader.uses import UsedAgents
    from lifecycle.registry.declarations import Pin
    from lifecycle.registry.signals import AgentSignals

log = logging.getLogger(__name__)


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
    if failure.code == "provider_disabled" and await agents.put_away_since(live):
        msg = "The agent was retired while the run began; it is restored."
        return Unavailable(msg, code="agent_put_away")
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
