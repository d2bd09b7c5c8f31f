"""The edge: one blueprint per module. A trigger parses, calls one use case and maps the outcome; no rule lives here."""
