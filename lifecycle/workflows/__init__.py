"""Workflows: several agents asked for one purpose, in steps that are runs."""
