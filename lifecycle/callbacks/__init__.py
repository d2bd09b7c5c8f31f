"""Callbacks: reports of the ends of runs, by webhook or by a message to a reply queue."""
