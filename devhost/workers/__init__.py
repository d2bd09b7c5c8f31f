"""Worker processes, for `--workers 2` and more: the host has all triggers, the workers run the functions."""
