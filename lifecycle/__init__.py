"""Who the agents are and how they live: specs, configuration, registry, drift, loader, sessions, runs, events."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lifecycle.loader.active import ActiveAgent
    from lifecycle.loader.files import AgentConfiguration
    from lifecycle.loader.library import LazyAgentLoader
    from lifecycle.production import ProductionAgent, ProductionAgentManager

__all__ = ["ActiveAgent", "AgentConfiguration", "LazyAgentLoader", "ProductionAgent", "ProductionAgentManager"]

_MODULES = {
    "ActiveAgent": "lifecycle.loader.active",
    "AgentConfiguration": "lifecycle.loader.files",
    "LazyAgentLoader": "lifecycle.loader.library",
    "ProductionAgent": "lifecycle.production",
    "ProductionAgentManager": "lifecycle.production",
}


def __getattr__(name: str) -> object:
    # The library's face brings in everything; who imports one module of the package should not pay for it.
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
