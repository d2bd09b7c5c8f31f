"""Composition of drift."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.parts.agents import AgentServices
    from bootstrap.parts.core import Core
    from lifecycle.drift.plan_application import Plans


@dataclass(eq=False)
class DriftServices:
    """Builds plans of drift between the registry and the providers."""

    _core: Core
    _agents: AgentServices

    @cached_property
    def plans(self) -> Plans:
        """Makes and applies plans."""
        from lifecycle.drift.inventory import Inventory
        from lifecycle.drift.plan_application import Plans
        from lifecycle.drift.plan_store import PlanStore

        agents = self._agents
        owner = self._core.settings.registry_owner
        inventory = Inventory(agents.catalog, agents.providers, agents.offered_tools, owner)
        return Plans(
            PlanStore(self._core.tables), inventory, self._agents.catalog, self._agents.providers, self._core.clock
        )
