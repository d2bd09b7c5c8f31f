"""What this worker has sent to the deployments of routes, published to the other workers at intervals."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from kernel.errors import Unavailable
from llmops.routing.deployment_quota import Account, Used, together

if TYPE_CHECKING:
    from kernel.clock import Clock
    from llmops.routing.store import RouteStore

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""A route: its workspace and its name."""


class WorkerAccounts:
    """The accounts of one worker; those that changed are published at intervals. Bound to one event loop."""

    def __init__(self, store: RouteStore, clock: Clock, worker: str, interval: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._worker = worker
        self._interval = interval
        self._own: dict[Key, Account] = {}
        self._published: dict[Key, Account] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._publishing: asyncio.Task[None] | None = None

    def add(self, key: Key, deployment: str, used: Used) -> None:
        """Add to what was sent to the deployment in this minute; it is published within the interval."""
        self._own[key] = self._own.get(key, Account()).adding(deployment, used, self._clock())
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval.total_seconds(), self._publish_soon)

    def others(self, accounts: Mapping[str, Account]) -> Account:
        """Return the sum of what all other workers sent."""
        return together(account for worker, account in accounts.items() if worker != self._worker)

    def own(self, key: Key) -> Account:
        """Return what this worker has sent, up to now."""
        return self._own.get(key, Account())

    async def publish(self) -> None:
        """Publish what has changed since the last time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for key, account in list(self._own.items()):
            if self._published.get(key) is account:
                continue
            try:
                await self._store.publish(*key, self._worker, account, self._clock())
            except (
                Unavailable
            ):  # published the next time; losing it is harmless, because it matters only for some minutes
                log.warning("account of route %s not published", key[1], extra={"event": "route.unpublished"})
                continue
            self._published[key] = account

    async def aclose(self) -> None:
        """Publish what is not published yet."""
        if self._publishing is not None:
            await self._publishing
        await self.publish()

    def _publish_soon(self) -> None:
        self._publishing = asyncio.get_running_loop().create_task(self.publish())
