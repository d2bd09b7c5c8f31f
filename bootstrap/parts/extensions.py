"""Composition of extensions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernel.errors import InvalidInput

if TYPE_CHECKING:
    from bootstrap.parts.core import Core
    from lifecycle.evaluation.checks import Checks
    from lifecycle.extensions.loading import Extensions
    from lifecycle.specs.servers import ToolServers
    from lifecycle.specs.tools import Toolbox
    from lifecycle.tools.context import Setting
    from lifecycle.tools.definition import Tool


ROOT = Path(__file__).parents[2] if __name__.startswith("bootstrap.") else None
"""Directory of `function_app.py` and, optionally, the app's own `extensions` folder; None in an installed library."""

FOLDER = "extensions"


@dataclass(eq=False)
class ExtensionServices:
    """Loads extensions, and combines their objects with the built-in ones."""

    _core: Core

    @cached_property
    def loaded(self) -> Extensions:
        """The loaded extensions."""
        return loaded(self._core.settings.extensions, ROOT)

    @cached_property
    def tools(self) -> dict[str, Any]:
        """Function tools that specs can name."""
        from lifecycle.specs.tools import builtin_tools

        return {**self.loaded.tools, **builtin_tools(self._core.clock)}

    def add_tool(self, tool: Tool) -> None:
        """Register a tool of the program; registering it again changes nothing.

        Raises:
            InvalidInput: Another tool has the name.
        """
        found = self.tools.setdefault(tool.name, tool)
        if getattr(found, "function", found) is not tool.function:
            raise InvalidInput(f"There is another tool {tool.name!r}.", code="tool_name_taken")

    @cached_property
    def checks(self) -> Checks:
        """Checks of answers that specs can name."""
        return self.loaded.checks

    @cached_property
    def toolbox(self) -> Toolbox:
        """Tools and context providers, in the form that agents take."""
        from lifecycle.specs.tools import Toolbox

        return Toolbox(self.tools, self.loaded.context, self.tool_servers)

    @cached_property
    def tool_servers(self) -> ToolServers:
        """Connects to MCP servers."""
        from adapters.mcp_servers import McpServers

        return self._core.closes(McpServers(self.setting, allow_private=self._core.settings.mcp_allow_private))

    @property
    def setting(self) -> Setting:
        """Returns app settings by name, for extensions."""
        return os.environ.get


def configured(setting: str, root: Path | None) -> list[str]:
    """Return the modules to load: those in the setting, else the app's own folder if it exists."""
    named = [name.strip() for name in setting.split(",") if name.strip()]
    return named or ([FOLDER] if root is not None and (root / FOLDER).is_dir() else [])


@lru_cache(maxsize=16)
def loaded(setting: str, root: Path | None) -> Extensions:
    """Return what the modules in the setting provide; each is imported once per process."""
    from lifecycle.extensions.loading import Extensions, load
    from lifecycle.specs.tools import BUILTIN_TOOLS
    from lifecycle.tools.definition import Tool

    names = configured(setting, root)
    return load(names, {Tool: BUILTIN_TOOLS}) if names else Extensions()
