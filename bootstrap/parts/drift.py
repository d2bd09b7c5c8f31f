"""The parts of drift: what differs between the registry and the providers, and what is done about it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.registry import RegistryParts

if TYPE_CHECKING:
    from lifecycle.drift.plans import Plans


class DriftParts(RegistryParts):
    """Makes plans of drift."""

    @cached_property
    def plans(self) -> Plans:
        """Plans of what differs, and their application."""
        from lifecycle.drift.inventory import Inventory
        from lifecycle.drift.plans import Plans
        from lifecycle.drift.store import PlanStore

        inventory = Inventory(self.catalog, self.providers, self.settings.registry_owner)
        return Plans(PlanStore(self.tables), inventory, self.catalog, self.providers, self.clock)
