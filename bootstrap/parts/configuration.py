"""The parts of what agents are composed of."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.sessions import SessionParts

if TYPE_CHECKING:
    from lifecycle.configuration.composing import Composer
    from lifecycle.configuration.dependents import Dependents
    from lifecycle.configuration.items import Items
    from lifecycle.configuration.users import Users
    from lifecycle.evaluation.checks import Checks
    from lifecycle.specs.tools import Tools


class ConfigurationParts(SessionParts):
    """Makes what agents are composed of."""

    @cached_property
    def tools(self) -> Tools:
        """The function tools that specs can name. Add your own here (`lifecycle.specs.tools` says how)."""
        from lifecycle.specs.tools import builtin_tools

        return builtin_tools(self.clock)

    @cached_property
    def checks(self) -> Checks:
        """The checks that specs can name. Add your own here (`lifecycle.evaluation.checks` says how)."""
        return {}

    @cached_property
    def items(self) -> Items:
        """Templates, personalities, capabilities and overrides."""
        from lifecycle.configuration.items import Items

        return Items(self.tables, self.clock)

    @cached_property
    def dependents(self) -> Dependents:
        """Who is composed of them."""
        from lifecycle.configuration.dependents import Dependents

        return Dependents(self.tables, self.clock)

    @cached_property
    def users(self) -> Users:
        """What users prefer."""
        from lifecycle.configuration.users import Users

        return Users(self.tables)

    @cached_property
    def composer(self) -> Composer:
        """Composes agents of them."""
        from lifecycle.configuration.composing import Composer

        return Composer(self.items, self.dependents, self.tools, self.checks)
