"""Function tools: definition, calls within limits, and rendering of results."""
