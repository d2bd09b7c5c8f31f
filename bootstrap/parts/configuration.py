"""The parts of what agents are composed of."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.extensions import ExtensionParts
from bootstrap.parts.sessions import SessionParts

if TYPE_CHECKING:
    from lifecycle.configuration.composing import Composer
    from lifecycle.configuration.dependents import Dependents
    from lifecycle.configuration.store import ConfigurationStore
    from lifecycle.configuration.user_preferences import UserPreferenceStore


class ConfigurationParts(SessionParts, ExtensionParts):
    """Makes what agents are composed of."""

    @cached_property
    def items(self) -> ConfigurationStore:
        """Templates, personalities, capabilities and overrides."""
        from lifecycle.configuration.store import ConfigurationStore

        return ConfigurationStore(self.tables, self.clock)

    @cached_property
    def dependents(self) -> Dependents:
        """Who is composed of them."""
        from lifecycle.configuration.dependents import Dependents

        return Dependents(self.tables, self.clock)

    @cached_property
    def users(self) -> UserPreferenceStore:
        """What users prefer."""
        from lifecycle.configuration.user_preferences import UserPreferenceStore

        return UserPreferenceStore(self.tables)

    @cached_property
    def composer(self) -> Composer:
        """Composes agents of them."""
        from lifecycle.configuration.composing import Composer
        from lifecycle.configuration.sources import SpecNames

        providers = ("offline", "openai", "foundry", *self.extensions.clients)
        names = SpecNames(self.tools, self.checks, self.extensions.context, providers, self.tool_servers)
        return Composer(self.items, self.dependents, names)
