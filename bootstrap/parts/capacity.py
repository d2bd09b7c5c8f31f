"""Composition of capacity: pools, what is measured, scaling."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.parts.conversations import ConversationServices
    from bootstrap.parts.core import Core
    from bootstrap.parts.events import EventServices
    from bootstrap.parts.metrics import MetricServices
    from llmops.capacity.admission import Capacity
    from llmops.capacity.pool_store import PoolStore
    from llmops.capacity.pool_usage import PoolUsageReader
    from llmops.capacity.session_limit import SessionClaims
    from llmops.capacity.worker_resources import ResourceReader, ResourceSampler


@dataclass(eq=False)
class CapacityServices:
    """Builds pools, and admission to them."""

    _core: Core
    _conversations: ConversationServices
    _events: EventServices
    _metrics: MetricServices

    @cached_property
    def pools(self) -> PoolStore:
        """Stores pools and their use."""
        from llmops.capacity.pool_store import PoolStore

        return PoolStore(self._core.tables, self._core.clock, self._core.budget_trust)

    @cached_property
    def sessions(self) -> SessionClaims:
        """The open sessions of pools."""
        from llmops.capacity.session_limit import SessionClaims

        return SessionClaims(self._core.tables, self._core.clock, self._conversations.directory.open_sessions)

    @cached_property
    def admission(self) -> Capacity:
        """This worker's share in pools."""
        from llmops.capacity.admission import Capacity

        wait_for = timedelta(seconds=self._core.settings.pool_wait)
        return self._core.closes(Capacity(self.pools, self.sessions, self._core.clock, wait_for))

    @cached_property
    def usage(self) -> PoolUsageReader:
        """Reads the usage of pools."""
        from llmops.capacity.pool_usage import PoolUsageReader

        return PoolUsageReader(self.pools, self.sessions, self._core.clock)

    @cached_property
    def resources(self) -> ResourceReader:
        """Reads the use of memory, CPU and pools."""
        from llmops.capacity.worker_resources import ResourceReader

        return ResourceReader(self._metrics.workers, self.usage, self._core.tables, self._core.clock)

    @cached_property
    def sampler(self) -> ResourceSampler:
        """Takes samples of resource use."""
        from llmops.capacity.worker_resources import ResourceSampler

        return ResourceSampler(self.resources, self.pools, self.sessions, self._core.tables, self._events.journal)
