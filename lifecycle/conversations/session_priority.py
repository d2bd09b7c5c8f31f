"""A session's priority: on which queue its runs are sent, for the whole life of the session."""

from __future__ import annotations

from enum import StrEnum

from kernel.errors import Conflict


class Priority(StrEnum):
    """Priority of a session: the queue of its runs, and so which workers take them."""

    NORMAL = "normal"
    HIGH = "high"  # for people who should not wait behind others
    LOW = "low"  # for bulk work


def check_priority(session_id: str, held: Priority, asked: Priority | None) -> None:
    """Check that a run asks for its session's priority, or for none (None).

    Raises:
        Conflict: It asks for another one. With two queues, one session's runs could run at the same time.
    """
    if asked not in (None, held):
        msg = f"Session {session_id!r} has {held.value} priority; a session keeps its priority."
        raise Conflict(msg, code="session_priority_mismatch")
