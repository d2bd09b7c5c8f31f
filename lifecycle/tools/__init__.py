"""Function tools: how one is defined, called within limits, and what is made of its result."""
