"""Publishes an answer while the model writes it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from kernel.errors import AppError

if TYPE_CHECKING:
    from agent_framework import AgentResponse, AgentResponseUpdate, ResponseStream

    from lifecycle.runs.run_lease import RunLease

log = logging.getLogger(__name__)

TELL_EVERY_S = 0.25
"""Least time between two writes of a run's text, in seconds."""


async def stream_updates(
    stream: ResponseStream[AgentResponseUpdate, AgentResponse[Any]], lease: RunLease
) -> AgentResponse[Any]:
    """Return the response once the stream has ended; meanwhile its text is written to the session's events.

    The last part of the text is written with the answer. If the storage cannot be reached, events are delayed, not the
    model.
    """
    ended = asyncio.Event()
    teller = asyncio.create_task(_publish_text(lease, ended))
    try:
        async for update in stream:
            lease.add_text(update.text)
        return await stream.get_final_response()
    finally:
        ended.set()
        await teller  # never cancelled in the middle of a write


async def _publish_text(lease: RunLease, ended: asyncio.Event) -> None:
    while not ended.is_set():
        try:
            await lease.flush_text()
        except AppError as error:
            log.warning("text not published yet: %s", error.code, extra={"event": "run.delta_unavailable"})
        try:
            async with asyncio.timeout(TELL_EVERY_S):
                await ended.wait()
        except TimeoutError:
            continue
