"""What an attempt's failure is, and what has to happen to its agent before another attempt."""

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
    """Have the next attempt look the agent up, and its actor make what is gone; return what the failure is."""
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
    """Return an error of an attempt as one of the app's own."""
    found = error if isinstance(error, AppError) else live.provider.translate(error)
    return defect(error) if isinstance(found, InternalError) else found


def defect(error: Exception) -> InternalError:
    """Log where an unexpected exception came from; not its text, which may quote a prompt."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    log.error("%s at %s:%d", type(error).__name__, frame.filename, frame.lineno or 0, extra={"event": "run.defect"})
    return InternalError()
