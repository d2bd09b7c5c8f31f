"""Follows a run in the process that runs it: its events, and the text of a streamed answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from kernel.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from kernel.journal import Event
    from lifecycle.conversations.session_store import ConversationStore

_LOOK_EVERY_S = 0.1
_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a streamed answer. A piece of a later attempt voids the text of earlier ones.

    Attributes:
        attempt: Number of the run's attempt.
        offset: Characters of the attempt's text before this piece.
        text: The piece's text.
    """

    attempt: int
    offset: int
    text: str


async def events_of(
    conversations: ConversationStore, workspace: str, session_id: str, run_id: str, first: int, work: asyncio.Task[Any]
) -> AsyncIterator[Event]:
    """Yield the run's events until the work has ended and all events were yielded.

    Args:
        conversations: Storage of the run's events.
        workspace: Its workspace.
        session_id: Its session.
        run_id: The run.
        first: Number of the session's first event to yield.
        work: The task that runs the run.
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
    """Yield the run's text until the work has ended and all was yielded; arguments as for `events_of`."""
    async for event in events_of(conversations, workspace, session_id, run_id, first, work):
        if event.name == "run.delta":
            yield Delta(event.data["attempt"], event.data["offset"], event.data["text"])
