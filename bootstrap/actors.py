"""Runs the async actors of agents behind the synchronous Durable entity function."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from adapters.durable_signals import DurableSignals, parse_entity_key, sent_in
from bootstrap.services import Services

if TYPE_CHECKING:
    from kernel.settings import Settings
    from lifecycle.registry.actor import ActorState, AgentActor
    from lifecycle.registry.actor_operations import Operation

T = TypeVar("T")

durable_signals = DurableSignals
"""Returns the sender of signals to actors, from a function's Durable client."""
signal_context = sent_in
"""Removes the trace context from a signal's input, and returns it."""


class Actors:
    """The actors of agents, on an event loop in a separate thread with its own connections, created on first use.

    The Durable SDK 1.x calls entity functions synchronously, in worker threads; a connection belongs to one loop.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._actor: AgentActor | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine on the actors' loop and return its result; blocks the calling thread meanwhile."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="actors", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def handle(self, state: ActorState | None, key: str, operation: Operation) -> ActorState:
        """Apply the operation to the agent of the entity key and return its state; for use within `run`."""
        if self._actor is None:
            self._actor = Services.for_azure(self._settings).agents.actor()
        return await self._actor.handle(state, *parse_entity_key(key), operation)
