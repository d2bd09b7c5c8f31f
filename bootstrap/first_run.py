"""Imports that a cold start can postpone but every run needs (half a second), made when a worker is first idle."""

from __future__ import annotations

import asyncio
from importlib import import_module

_MODULES = ("lifecycle.runs.worker", "lifecycle.evaluation.scorer", "llmops.spend.pricing")
_ANY_MODEL = "gpt-5-mini"


async def prepare() -> None:
    """Import them in a thread, so that requests are answered meanwhile."""
    await asyncio.to_thread(_load)


def _load() -> None:
    for name in _MODULES:
        import_module(name)
    from lifecycle.evaluation.framework import load  # noqa: PLC0415 - cold start
    from llmops.spend.pricing import public_name  # noqa: PLC0415 - cold start

    load()
    public_name(_ANY_MODEL)  # loads the table of public prices
