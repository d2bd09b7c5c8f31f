"""A session's priority: which of the queues its runs travel on, for all its life."""

from __future__ import annotations

from enum import StrEnum

from kernel.errors import Conflict


class Priority(StrEnum):
    """Which queue the runs of a session travel on, and so which workers they wait for."""

    NORMAL = "normal"
    HIGH = "high"  # people who are not to wait behind others
    LOW = "low"  # work in bulk, which nobody waits for


def check_priority(session_id: str, held: Priority, asked: Priority | None) -> None:
    """Check that a run may travel with its session's priority; None asks for whatever that is.

    Raises:
        Conflict: It asks for another one. Two queues would run one session at the same time.
    """
    if asked not in (None, held):
        msg = f"Session {session_id!r} has {held.value} priority; a session keeps its priority."
        raise Conflict(msg, code="session_priority_mismatch")
