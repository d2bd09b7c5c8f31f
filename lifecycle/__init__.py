"""The life cycle of LLM agents: specs, configuration, registry, drift, loader, sessions, runs, events."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.library import ManagerStats, ProductionAgent, ProductionAgentManager, Progress
    from lifecycle.loader.agent_files import AgentConfiguration
    from lifecycle.loader.library import LazyAgentLoader
    from lifecycle.loader.live_agent_handle import ActiveAgent
    from lifecycle.loader.setting_limits import LoaderNumbers
    from lifecycle.loader.usage_statistics import LearningRules
    from lifecycle.specs.spec import AgentSpec

__all__ = [
    "ActiveAgent",
    "AgentConfiguration",
    "AgentSpec",
    "LazyAgentLoader",
    "LearningRules",
    "LoaderNumbers",
    "ManagerStats",
    "ProductionAgent",
    "ProductionAgentManager",
    "Progress",
]

_MODULES = {
    "ActiveAgent": "lifecycle.loader.live_agent_handle",
    "AgentConfiguration": "lifecycle.loader.agent_files",
    "AgentSpec": "lifecycle.specs.spec",
    "LazyAgentLoader": "lifecycle.loader.library",
    "LearningRules": "lifecycle.loader.usage_statistics",
    "LoaderNumbers": "lifecycle.loader.setting_limits",
}
_COMPOSED = {"ManagerStats", "ProductionAgent", "ProductionAgentManager", "Progress"}


def __getattr__(name: str) -> object:
    # The public names need almost every module; importing one module of the package should not load them all.
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    if name in _COMPOSED:
        # The only import from an outer layer: the composed library is exported under its public name.
        from bootstrap import library  # noqa: PLC0415 - on first use

        return getattr(library, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
