"""A caller that disconnects before it has its answer: where the protocol says so, its run is cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from kernel.errors import AppError

if TYPE_CHECKING:
    from triggers.http.protocol_runs import SubmittedRun

log = logging.getLogger(__name__)

_LEFT: set[asyncio.Task[None]] = set()


async def cancel_on_disconnect(asked: SubmittedRun, chunks: AsyncGenerator[str]) -> AsyncGenerator[str]:
    """Yield the chunks; if the caller disconnects before the run has ended, cancel the run."""
    ended = False
    try:
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk
        ended = True
    finally:
        if not ended and not asked.settled:
            # Not awaited: the current task is itself being cancelled.
            cancelling = asyncio.create_task(_cancelled(asked))
            _LEFT.add(cancelling)
            cancelling.add_done_callback(_LEFT.discard)


async def _cancelled(asked: SubmittedRun) -> None:
    try:
        await asked.cancel()
    except AppError as error:
        log.warning(
            "the run of a disconnected caller was not cancelled: %s", error.code, extra={"event": "run.not_cancelled"}
        )
