"""Benchmarks, given as ratios of figures measured in the same run: `python -m benchmarks`."""
