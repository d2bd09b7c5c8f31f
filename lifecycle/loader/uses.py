"""Reports uses of agents to their actors, in batches, so that busy actors do not get a signal for each run."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta

from kernel.clock import Clock
from kernel.errors import Unavailable
from kernel.ids import new_id
from lifecycle.loader.resolver import AgentResolver, LiveAgent
from lifecycle.registry.declarations import Pin
from lifecycle.registry.operations import RecordUse
from lifecycle.registry.signals import AgentSignals

log = logging.getLogger(__name__)
Key = tuple[str, str]


class UseRecorder:
    """Batches `record_use` signals: the first use is sent at once, later ones together once per interval.

    A crash loses the count of at most one interval. Exact counts come from the ledger.
    """

    def __init__(self, clock: Clock, interval: timedelta) -> None:
        self._clock = clock
        self._interval = interval
        self._told: dict[Key, datetime] = {}
        self._untold: dict[Key, tuple[int, datetime]] = {}
        self._timers: dict[Key, asyncio.Task[None]] = {}
        self._telling: set[asyncio.Task[None]] = set()

    async def record(self, workspace: str, name: str, signals: AgentSignals) -> None:
        """Record one use now."""
        key, now = (workspace, name), self._clock()
        uses, _ = self._untold.get(key, (0, now))
        self._untold[key] = (uses + 1, now)
        if key in self._timers:
            return
        sent_at = self._told.get(key)
        if sent_at is None or sent_at + self._interval <= now:
            await self._tell(key, signals)
        else:
            wait = (sent_at + self._interval - now).total_seconds()
            self._timers[key] = asyncio.create_task(self._send_later(key, signals, wait))

    async def aclose(self, signals: AgentSignals | None = None) -> None:
        """Stop the timers; with `signals`, send what is not sent yet."""
        for timer in self._timers.values():
            timer.cancel()
        await asyncio.gather(*self._timers.values(), *self._telling, return_exceptions=True)
        self._timers.clear()
        if signals is not None:
            for key in list(self._untold):
                await self._tell(key, signals)

    async def _send_later(self, key: Key, signals: AgentSignals, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        telling = self._timers.pop(key)
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)
        await self._tell(key, signals)

    async def _tell(self, key: Key, signals: AgentSignals) -> None:
        uses, last_used = self._untold.pop(key)
        now = self._clock()
        self._told = {other: sent_at for other, sent_at in self._told.items() if sent_at + self._interval > now} | {
            key: now
        }
        try:
            await signals.send(*key, RecordUse(new_id(), uses, last_used))
        except Unavailable as error:
            # The run that it counts has succeeded; the use is sent with the next one.
            log.warning("uses of %s not recorded yet: %s", key[1], error.code, extra={"event": "agent.use_untold"})
            more, latest = self._untold.get(key, (0, last_used))
            self._untold[key] = (uses + more, max(latest, last_used))


class UsedAgents:
    """Resolves agents for runs, and reports their uses to their actors."""

    def __init__(self, resolver: AgentResolver, uses: UseRecorder) -> None:
        self._resolver = resolver
        self._uses = uses
        self.forget = resolver.forget
        self.at_hand = resolver.at_hand
        self.put_away_since = resolver.put_away_since

    async def use(
        self, workspace: str, name: str, signals: AgentSignals, min_revision: int = 0, *, pin: Pin | None = None
    ) -> LiveAgent:
        """Return the agent as `AgentResolver.resolve` does, and record one use of it."""
        live = await self._resolver.resolve(workspace, name, signals, min_revision, pin=pin)
        await self._uses.record(workspace, name, signals)
        return live
