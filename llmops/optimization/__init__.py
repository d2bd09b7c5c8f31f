"""Optimization: proposals that would lower costs, and what-if replays of recorded facts."""
