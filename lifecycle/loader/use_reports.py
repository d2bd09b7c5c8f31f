"""Reports uses of agents to their actors, in batches, so that busy actors do not get a signal for each run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.errors import Unavailable
from kernel.ids import new_id
from lifecycle.registry.actor_operations import RecordUse

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.loader.agent_resolver import AgentResolver, LiveAgent
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.registry.declarations import Pin

log = logging.getLogger(__name__)
Key = tuple[str, str]


@dataclass(slots=True)
class _Uses:
    """Uses of an agent that its actor was not told of: how many, and when the latest was, in elapsed seconds.

    `waits` says that a timer is going to tell them.
    """

    count: int = 0
    latest: float = 0.0
    waits: bool = False


class UseRecorder:
    """Batches `record_use` signals: the first use is sent at once, later ones together once per interval.

    A crash loses the count of at most one interval. Exact counts come from the ledger.
    """

    def __init__(self, clock: Clock, elapsed: Callable[[], float], interval: timedelta) -> None:
        """Make the recorder.

        Args:
            clock: The time.
            elapsed: Counts seconds, from any moment.
            interval: How often at most an agent's actor is told.
        """
        self._clock = clock
        self._elapsed = elapsed
        self._interval = interval
        self._sent_at: dict[Key, datetime] = {}
        self._unsent: dict[Key, _Uses] = {}
        self._timers: dict[Key, asyncio.Task[None]] = {}
        self._sending: set[asyncio.Task[None]] = set()

    def note(self, workspace: str, name: str) -> bool:
        """Note one use, now, if it is told together with others that are noted; return whether it is.

        This is what most uses come to; it takes a tenth of a microsecond or two.
        """
        uses = self._unsent.get((workspace, name))
        if uses is None or not uses.waits:
            return False
        uses.count += 1
        uses.latest = self._elapsed()
        return True

    async def record(self, workspace: str, name: str, signals: AgentSignals) -> None:
        """Record one use now."""
        if self.note(workspace, name):
            return
        key, now = (workspace, name), self._clock()
        uses = self._unsent.setdefault(key, _Uses())
        uses.count += 1
        uses.latest = self._elapsed()
        sent_at = self._sent_at.get(key)
        if sent_at is None or sent_at + self._interval <= now:
            await self._send_use(key, signals)
        else:
            wait = (sent_at + self._interval - now).total_seconds()
            uses.waits = True
            self._timers[key] = asyncio.create_task(self._send_later(key, signals, wait))

    async def aclose(self, signals: AgentSignals | None = None) -> None:
        """Stop the timers; with `signals`, send what is not sent yet."""
        for timer in self._timers.values():
            timer.cancel()
        await asyncio.gather(*self._timers.values(), *self._sending, return_exceptions=True)
        self._timers.clear()
        if signals is not None:
            for key in list(self._unsent):
                await self._send_use(key, signals)

    async def _send_later(self, key: Key, signals: AgentSignals, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        sending = self._timers.pop(key)
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        await self._send_use(key, signals)

    async def _send_use(self, key: Key, signals: AgentSignals) -> None:
        uses = self._unsent.pop(key)
        now = self._clock()
        last_used = now - timedelta(seconds=max(0.0, self._elapsed() - uses.latest))
        self._sent_at = {
            other: sent_at for other, sent_at in self._sent_at.items() if sent_at + self._interval > now
        } | {key: now}
        try:
            await signals.send(*key, RecordUse(new_id(), uses.count, last_used))
        except Unavailable as error:
            # The run that it counts has succeeded; the use is sent with the next one.
            log.warning("uses of %s not recorded yet: %s", key[1], error.code, extra={"event": "agent.use_unsent"})
            more = self._unsent.setdefault(key, _Uses())
            more.count += uses.count
            more.latest = max(more.latest, uses.latest)


class UsedAgents:
    """Resolves agents for runs, and reports their uses to their actors."""

    def __init__(self, resolver: AgentResolver, uses: UseRecorder) -> None:
        self._resolver = resolver
        self._uses = uses
        self.forget = resolver.forget
        self.at_hand = resolver.at_hand
        self.retired_or_restored_since = resolver.retired_or_restored_since

    async def use(
        self, workspace: str, name: str, signals: AgentSignals, min_revision: int = 0, *, pin: Pin | None = None
    ) -> LiveAgent:
        """Return the agent as `AgentResolver.resolve` does, and record one use of it."""
        live = self._resolver.hit(workspace, name, min_revision, pin)
        if live is None:
            live = await self._resolver.look_up(workspace, name, signals, min_revision, pin=pin)
        if not self._uses.note(workspace, name):
            await self._uses.record(workspace, name, signals)
        return live
