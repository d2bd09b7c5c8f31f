"""Composition of scaling."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.parts.capacity import CapacityServices
    from bootstrap.parts.core import Core
    from bootstrap.parts.events import EventServices
    from bootstrap.parts.spend import SpendServices
    from llmops.capacity.scaler import Scaler, ScaleTarget, ScalingStore


@dataclass(eq=False)
class ScalingServices:
    """Builds the recommending and changing of the app's scale."""

    _core: Core
    _events: EventServices
    _spend: SpendServices
    _capacity: CapacityServices

    @cached_property
    def store(self) -> ScalingStore:
        """Stores the scaling policy."""
        from llmops.capacity.scaler import ScalingStore

        return ScalingStore(self._core.tables)

    @cached_property
    def scaler(self) -> Scaler:
        """Recommends a scale, and applies it."""
        from llmops.capacity.scaler import Scaler

        return Scaler(
            self.store,
            self._spend.figures,
            self._capacity.resources,
            self._events.journal,
            self._spend.daily_costs.workspaces,
            self.target,
            self._core.clock,
        )

    @cached_property
    def target(self) -> ScaleTarget | None:
        """The app to scale; None where that is disabled."""
        settings = self._core.settings
        if not settings.scaling_apply or not settings.scaling_site:
            return None
        from adapters.azure_scale import AzureScale
        from adapters.identity import AppIdentity

        return self._core.closes(AzureScale(settings.scaling_site, settings.arm_endpoint, AppIdentity()))
