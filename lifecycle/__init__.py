"""Who the agents are and how they live: specs, registry, actor, sessions, runs."""
