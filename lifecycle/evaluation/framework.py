"""Agent Framework's evaluation, which it marks as experimental."""

from __future__ import annotations

import warnings
from functools import cache


def load() -> None:
    """Import it, which takes a while the first time."""
    import agent_framework  # noqa: PLC0415 - cold start

    _ = agent_framework.LocalEvaluator  # is imported once it is named


@cache
def acknowledge() -> None:
    """Take note that Agent Framework's evaluation is experimental, which it says once in a process.

    The version in use is pinned, so that nobody who runs the app can do anything about it.
    """
    from agent_framework import LocalEvaluator  # noqa: PLC0415 - cold start

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        LocalEvaluator()
