"""What a tool, and a context provider, can ask to know of the run that it is called in."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime

log = logging.getLogger(__name__)

Setting = Callable[[str], str | None]
"""Returns an app setting by its name; None where there is none."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """The run that a tool is called in. A parameter annotated with it is filled in, and not shown to the model.

    Attributes:
        workspace: The agent's workspace.
        agent: The agent.
        session_id: The conversation.
        run_id: The run.
        user_id: Who asked; None when nobody in particular.
        attempt: The attempt at the run, from 1.
        call_id: The model's id of this call, unique in the run; empty where no tool is called.
        deadline: When the call is given up, aware UTC.
        repeated: Whether the call may have been made before: by a worker that died before it could note the result, or
            in an attempt that failed after it, since when the model was asked anew and may ask for the same again under
            another call id.
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
        """Names this call among all calls of all runs. A call that is made again, to go on from it, has the same."""
        return f"{self.run_id}.{self.call_id}"

    def setting(self, name: str) -> str:
        """Return an app setting, which is where secrets belong.

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
"""The run that is under way, with the tool call that is; None outside of runs."""
