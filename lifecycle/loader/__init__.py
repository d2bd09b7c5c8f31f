"""The loader: a cache of live agents in front of the registry, preloading by past uses, and the same as a library."""
