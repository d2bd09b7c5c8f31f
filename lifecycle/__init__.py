"""Who the agents are and how they live: specs, registry, actor, sessions, runs."""

from lifecycle.production import ProductionAgent, ProductionAgentManager

__all__ = ["ProductionAgent", "ProductionAgentManager"]
