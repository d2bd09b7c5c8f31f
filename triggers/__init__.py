"""Triggers: HTTP, queue, timer and entity functions. Each parses, calls one use case and maps the outcome."""
