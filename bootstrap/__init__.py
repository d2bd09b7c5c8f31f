"""The composition roots: the only place that chooses adapters."""
