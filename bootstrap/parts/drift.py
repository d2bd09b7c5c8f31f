"""The parts of drift: what differs between the registry and the providers, and what is done about it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.registry import RegistryParts

if TYPE_CHECKING:
    from lifecycle.registry.plans import Plans


class DriftParts(RegistryParts):
    """Makes plans of drift."""

    @cached_property
    def plans(self) -> Plans:
        """Plans of what differs, and their application."""
        from lifecycle.registry.plan_store import PlanStore
        from lifecycle.registry.plans import Plans
        from lifecycle.registry.survey import Survey

        survey = Survey(self.catalog, self.providers, self.settings.registry_owner)
        return Plans(PlanStore(self.tables), survey, self.catalog, self.providers, self.clock)
