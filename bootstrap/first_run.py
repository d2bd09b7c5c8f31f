"""What a cold start does without and every run needs: half a second of imports, for a worker's first idle moment."""

from __future__ import annotations

import asyncio
from importlib import import_module

_MODULES = ("lifecycle.runs.worker", "lifecycle.evaluation.scorer", "llmops.spend.pricing")
_ANY_MODEL = "gpt-5-mini"


async def prepare() -> None:
    """Import it, in a thread: what comes in meanwhile is answered."""
    await asyncio.to_thread(_load)


def _load() -> None:
    for name in _MODULES:
        import_module(name)
    from lifecycle.evaluation.framework import load  # noqa: PLC0415 - cold start
    from llmops.spend.pricing import public_name  # noqa: PLC0415 - cold start

    load()
    public_name(_ANY_MODEL)  # reads the table of public prices
