"""One extension of each kind, to copy: each is a module of its own, and works alone.

The setting EXTENSIONS names this package for the local app; docs/tools.md tells how to have your own.
"""
