"""What is counted of agents and runs: by each worker, and beside the registry's records."""
