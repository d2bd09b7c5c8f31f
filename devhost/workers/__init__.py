"""Worker processes, for `--workers 2` and more: the host keeps every trigger, the workers run the functions."""
