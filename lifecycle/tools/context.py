"""The context of a run that tools and context providers can ask for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import field
from datetime import datetime

from kernel.lazy_dataclass import dataclass

log = logging.getLogger(__name__)

Setting = Callable[[str], str | None]
"""Returns an app setting by its name; None if it is not set."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """The run that a tool is called in. A parameter with this annotation is filled in, and hidden from the model.

    Attributes:
        workspace: The agent's workspace.
        agent: The agent.
        session_id: The run's session.
        run_id: The run.
        user_id: Who asked; None if not given.
        attempt: Number of the attempt, from 1.
        call_id: The model's id of this call, unique in the run; empty outside of tool calls.
        deadline: When the call times out, aware UTC.
        repeated: Whether the call may have been made before: by a worker that died before it stored the result, or in a
            failed attempt, after which the model may ask for the same call under another id.
    """

    workspace: str
    agent: str
    session_id: str
    run_id: str
    user_id: str | None
    attempt: int
    call_id: str
    deadline: datetime
    _setting: Setting = field(repr=False, compare=False)
    repeated: bool = False

    @property
    def idempotency_key(self) -> str:
        """Unique id of this call over all runs; the same if the call is repeated after a crash."""
        return f"{self.run_id}.{self.call_id}"

    def setting(self, name: str) -> str:
        """Return an app setting, e.g. a secret.

        Raises:
            LookupError: It is not set.
        """
        value = self._setting(name)
        if not value:
            log.warning("the app setting %s is not set", name, extra={"event": "tool.setting_missing"})
            msg = f"the app setting {name} is not set"
            raise LookupError(msg)
        return value


CURRENT: ContextVar[ToolContext | None] = ContextVar("tool_context", default=None)
"""The current run and tool call; None outside of runs."""
