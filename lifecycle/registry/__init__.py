"""Who the agents are: what was declared, what the provider has of it, and the actor that keeps the two together."""
