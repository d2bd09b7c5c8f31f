"""Signals, by which operations are sent to agents' actors without a response, and locks for actors outside a host.

A Functions host has one actor for each agent, a Durable Entity, and needs no locks. Other processes (the library, the
command line) have actors of their own over one storage, and lock an agent while its actor works.

Table `agents`, partition workspace: row `!lock!{name}` with the holder, and when the lock expires.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol
from weakref import WeakValueDictionary

from kernel.errors import AppError
from kernel.ids import new_id
from kernel.tables import Delete, Replace, Row, RowChanged, RowExists, Tables, put
from lifecycle.registry.record_store import TABLE

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.registry.actor import ActorState, AgentActor
    from lifecycle.registry.actor_operations import Operation


LASTS = timedelta(seconds=30)
"""How long a dead process's lock lasts; a live one renews its lock three times in that time."""
_LOOK_EVERY_S = 0.05


class AgentLocks:
    """Locks agents. If a live process's lock expires, the ETag of the agent's row still protects it."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    @asynccontextmanager
    async def hold(self, workspace: str, name: str) -> AsyncGenerator[None]:
        """Wait for the agent's lock, and hold it inside the context."""
        row = await self._taken(workspace, name)
        renewing = asyncio.create_task(self._renewed(row))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            await self._released(row)

    async def _taken(self, workspace: str, name: str) -> Row:
        key, holder = f"!lock!{name}", new_id()
        while True:
            found, now = await self._tables.get(TABLE, workspace, key), self._clock()
            until = found.moment("until") if found else None
            if found is None or until is None or until <= now:
                row = Row(workspace, key, {"holder": holder, "until": now + LASTS}, found.etag if found else "")
                with suppress(RowChanged, RowExists):
                    await self._tables.commit(TABLE, [put(row)])
                    return row
            elif found.text("holder") == holder:  # taken by a commit of ours whose response was lost
                return found
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _renewed(self, row: Row) -> None:
        while True:
            await asyncio.sleep(LASTS.total_seconds() / 3)
            with suppress(AppError, RowChanged):  # it is tried again before the lock expires
                found = await self._tables.get(TABLE, row.partition, row.key)
                if found is None or found.text("holder") != row.text("holder"):
                    return  # it expired
                values = dict(found.values) | {"until": self._clock() + LASTS}
                await self._tables.commit(TABLE, [Replace(Row(row.partition, row.key, values, found.etag))])

    async def _released(self, row: Row) -> None:
        with suppress(AppError, RowChanged):  # else it expires
            found = await self._tables.get(TABLE, row.partition, row.key)
            if found is not None and found.text("holder") == row.text("holder"):
                await self._tables.commit(TABLE, [Delete(row.partition, row.key, found.etag)])


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
