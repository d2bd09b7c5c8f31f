"""Following a run in the process that runs it: its events, and the text of a streamed one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from kernel.journal import Event
from lifecycle.conversations.store import ConversationStore

_LOOK_EVERY_S = 0.1
_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer while it is written; the text of an attempt is void once there is a piece of a later one.

    Attributes:
        attempt: The run's attempt that the model is at.
        offset: Characters of the attempt's text before this piece.
        text: What follows them.
    """

    attempt: int
    offset: int
    text: str


async def events_of(
    conversations: ConversationStore, workspace: str, session_id: str, run_id: str, first: int, work: asyncio.Task[Any]
) -> AsyncIterator[Event]:
    """Yield the run's events until the work at it has ended and every event was yielded.

    Args:
        conversations: Where the run's events are.
        workspace: Its workspace.
        session_id: Its session.
        run_id: The run.
        first: Number of the session's event to begin with.
        work: What runs it.
    """
    while True:
        ended = work.done()
        found = await conversations.events(workspace, session_id, first, _AT_ONCE)
        for number, event in found:
            first = number + 1
            if event.data.get("run_id") == run_id:
                yield event
        if ended and not found:
            return
        await asyncio.wait([work], timeout=_LOOK_EVERY_S)


async def deltas(
    conversations: ConversationStore, workspace: str, session_id: str, run_id: str, first: int, work: asyncio.Task[Any]
) -> AsyncIterator[Delta]:
    """Yield the run's text until the work at it has ended and everything was told; arguments as for `events_of`."""
    async for event in events_of(conversations, workspace, session_id, run_id, first, work):
        if event.name == "run.delta":
            yield Delta(event.data["attempt"], event.data["offset"], event.data["text"])
