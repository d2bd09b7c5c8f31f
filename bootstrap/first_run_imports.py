"""Imports that a cold start can postpone but every run needs (half a second), made before the first run asks for them.

A worker makes them when it is first idle, and while it answers the first request that changes something.
"""

from __future__ import annotations

import asyncio
import gc
from functools import cache
from importlib import import_module

_MODULES = ("lifecycle.runs.worker", "lifecycle.evaluation.answer_scoring", "llmops.spend.pricing")
_ANY_MODEL = "gpt-5-mini"
_COLLECT_AFTER = 20_000
"""New objects after which the youngest are collected; Python's own is 2,000, and 4 % of the processor time of a run."""


async def prepare() -> None:
    """Import them in a thread, so that requests are answered meanwhile; once in a process."""
    await asyncio.to_thread(_load)


@cache
def _load() -> None:
    gc.set_threshold(_COLLECT_AFTER)  # a run makes some thousands of objects, few of which outlive it
    for name in _MODULES:
        import_module(name)
    from lifecycle.evaluation.framework_evaluation import load  # noqa: PLC0415 - cold start
    from llmops.spend.pricing import public_name  # noqa: PLC0415 - cold start

    load()
    public_name(_ANY_MODEL)  # loads the table of public prices
    gc.freeze()  # what was imported stays: no collection has to look at it again
