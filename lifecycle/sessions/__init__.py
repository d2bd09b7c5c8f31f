"""Use cases of whole sessions: start, end, pause, erase, list and export."""
