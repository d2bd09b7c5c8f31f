"""Who the agents are and how they live: specs, configuration, registry, drift, loader, sessions, runs, events."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lifecycle.production import ProductionAgent, ProductionAgentManager

__all__ = ["ProductionAgent", "ProductionAgentManager"]


def __getattr__(name: str) -> object:
    # The library's face brings in everything; who imports one module of the package should not pay for it.
    if name in __all__:
        from lifecycle import production  # noqa: PLC0415

        return getattr(production, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
