"""Agents ready to run: the cache in front of the registry, what it learns from uses, and the loader as a library."""
