"""One extension of each kind, to copy: each is a separate module and works alone.

The setting EXTENSIONS names this package for the local app; docs/tools.md explains how to write your own.
"""
