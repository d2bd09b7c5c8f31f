"""Finding, applying and measuring savings, through the ordinary use cases of agents."""
