"""Reporting the ends of runs to whoever asked for them: by webhook, or by a message to a reply queue."""
