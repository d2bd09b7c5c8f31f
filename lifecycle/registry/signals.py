"""Signals: how operations are sent to agents' actors, without a response."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from lifecycle.registry.actor import ActorState, AgentActor
    from lifecycle.registry.locks import AgentLocks
    from lifecycle.registry.operations import Operation


class AgentSignals(Protocol):
    """Sends operations to actors. Delivery is at least once, delayed, and in no particular order."""

    async def send(self, workspace: str, name: str, operation: Operation) -> None:
        """Send the operation to the agent's actor.

        Raises:
            Unavailable: The signal was not accepted for delivery.
        """
        ...


class LocalSignals:
    """Actors in this process, for use without a Functions host: one operation at a time for each agent."""

    def __init__(self, actor: AgentActor, shared: AgentLocks | None = None) -> None:
        """Set the actor, and the agents' locks if other processes have actors over the same storage."""
        self._actor = actor
        self._shared = shared
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._states: dict[tuple[str, str], ActorState] = {}

    async def send(self, workspace: str, name: str, operation: Operation) -> None:
        """Apply the operation before returning."""
        key = (workspace, name)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            if self._shared is None:
                self._states[key] = await self._actor.handle(self._states.get(key), workspace, name, operation)
                return
            async with self._shared.hold(workspace, name):
                # Another process may have written the row since, so it is read each time.
                await self._actor.handle(None, workspace, name, operation)
