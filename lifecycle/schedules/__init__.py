"""Agents asked on a schedule."""
