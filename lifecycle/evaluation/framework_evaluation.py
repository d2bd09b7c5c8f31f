"""Imports Agent Framework's evaluation, which is marked as experimental."""

from __future__ import annotations

import warnings
from functools import cache


def load() -> None:
    """Import it; the first time takes a while."""
    import agent_framework  # noqa: PLC0415 - cold start

    _ = agent_framework.LocalEvaluator  # imported on first access


@cache
def acknowledge() -> None:
    """Suppress Agent Framework's warning that its evaluation is experimental.

    The version in use is pinned, so the warning is of no use to those who run the app.
    """
    from agent_framework import LocalEvaluator  # noqa: PLC0415 - cold start

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        LocalEvaluator()
