"""Metrics of agents and runs: counted by each worker, or read from the registry's records."""
