"""Agents' configuration: layers, shared items such as templates, and how they are merged into specs."""
