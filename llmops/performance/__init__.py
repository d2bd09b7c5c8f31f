"""Performance of agents: sums of their attempts by version and time, service levels, and insights."""
