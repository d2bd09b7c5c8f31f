"""Agents ready to run: the cache in front of the registry, and telling it of uses."""
