"""Composition of the layers that agents are composed of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.parts.core import Core
    from bootstrap.parts.extensions import ExtensionServices
    from lifecycle.configuration.dependents import Dependents
    from lifecycle.configuration.sources import Composer
    from lifecycle.configuration.store import ConfigurationStore
    from lifecycle.configuration.user_preferences import UserPreferenceStore


@dataclass(eq=False)
class ConfigurationServices:
    """Builds the stores of layers, and the composer."""

    _core: Core
    _extensions: ExtensionServices

    @cached_property
    def items(self) -> ConfigurationStore:
        """Stores templates, personalities, capabilities and overrides."""
        from lifecycle.configuration.store import ConfigurationStore

        return ConfigurationStore(self._core.tables, self._core.clock)

    @cached_property
    def dependents(self) -> Dependents:
        """The index of which agents and templates use them."""
        from lifecycle.configuration.dependents import Dependents

        return Dependents(self._core.tables, self._core.clock)

    @cached_property
    def users(self) -> UserPreferenceStore:
        """Stores users' preferences."""
        from lifecycle.configuration.user_preferences import UserPreferenceStore

        return UserPreferenceStore(self._core.tables)

    @cached_property
    def composer(self) -> Composer:
        """Composes agents' specs from layers."""
        from lifecycle.configuration.sources import Composer, SpecNames

        providers = ("offline", "openai", "foundry", "route", *self._extensions.loaded.clients)
        names = SpecNames(
            self._extensions.tools,
            self._extensions.checks,
            self._extensions.loaded.context,
            providers,
            self._extensions.tool_servers,
        )
        return Composer(self.items, self.dependents, names)
