"""A live agent while it is in use."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from lifecycle.loader.agent_files import AgentConfiguration

A = TypeVar("A")


class Note(Protocol):
    """Records the outcome of a use of an agent."""

    def __call__(self, agent_id: str, *, answered: bool, ms: float | None, cost_micro_usd: int) -> None:
        """Record it."""
        ...


class ActiveAgent(Generic[A]):
    """A live agent in use: it is not closed while this object is referenced, even if evicted.

    As a context manager it yields the agent, and records how long it was used and whether an exception was raised.

    Attributes:
        configuration: The configuration that it was opened from.
        agent: What `open_agent` returned. Do not keep a reference longer than to this object.
        opened_at: When it was opened, in seconds since 1970 UTC.
    """

    __slots__ = ("__weakref__", "_began", "_note", "agent", "configuration", "opened_at")

    def __init__(self, configuration: AgentConfiguration, agent: A, note: Note, opened_at: float) -> None:
        self._note = note
        self._began: list[float] = []
        self.configuration = configuration
        self.agent = agent
        self.opened_at = opened_at

    def report(self, *, answered: bool, ms: float | None = None, cost_micro_usd: int = 0) -> None:
        """Record a use's outcome: success, duration in milliseconds, and cost in millionths of a USD."""
        self._note(self.configuration.agent_id, answered=answered, ms=ms, cost_micro_usd=cost_micro_usd)

    async def __aenter__(self) -> A:
        self._began.append(asyncio.get_running_loop().time())
        return self.agent

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ms = (asyncio.get_running_loop().time() - self._began.pop()) * 1000
        self.report(answered=exc is None, ms=ms)
