"""The gate that every tool call of a run passes before it is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kernel.errors import RunFailed
from lifecycle.conversations.run import Run
from lifecycle.tools.definition import Approval


@dataclass(frozen=True, slots=True)
class RequestedCall:
    """A tool call that a model asks for.

    Attributes:
        tool: The tool's name, as the model knows it.
        call_id: The model's id of the call, unique in the run.
        arguments: Its arguments, as JSON has them.
        approval: When a call of the tool needs an approval.
        version: The agent's version that asks for it.
    """

    tool: str
    call_id: str
    arguments: Mapping[str, Any]
    approval: Approval
    version: str = ""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The call may be made, with these arguments."""

    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pending:
    """The call waits for a decision, and the run with it."""

    approval_id: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The call is not made; the model is given the reason."""

    reason: str


Gate = Callable[[Run, RequestedCall], Awaitable[Allowed | Pending | Rejected]]
"""Decides whether a call of a run is made."""


async def no_approvals(run: Run, call: RequestedCall) -> Allowed:
    """Allow every call that needs no approval.

    Raises:
        RunFailed: It needs one, which nobody can give here (code `approval_unavailable`).
    """
    if call.approval == "never":
        return Allowed(call.arguments)
    msg = f"The tool {call.tool!r} needs an approval, and this app has nobody who could give it."
    raise RunFailed(msg, code="approval_unavailable")
