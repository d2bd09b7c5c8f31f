"""Changes where a run's end will be reported, while the run has not ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kernel.errors import Conflict, NotFound
from lifecycle.callbacks.a2a import FORMATS
from lifecycle.conversations.changes import ConversationChange

if TYPE_CHECKING:
    from lifecycle.conversations.callback import Callback
    from lifecycle.conversations.run import Run
    from lifecycle.conversations.store import ConversationStore, StoredConversation


async def change_callback(conversations: ConversationStore, run: Run, callback: Callback | None) -> Run:
    """Set or remove (None) the push notification of a run's end, and return the run.

    Raises:
        NotFound: The run does not exist any more (`run_not_found`).
        Conflict: It has ended (`run_ended`), or it has a callback of another format (`callback_taken`).
    """

    def decide(stored: StoredConversation) -> ConversationChange | None:
        if stored.run is None:
            raise NotFound("The run is erased.", code="run_not_found")
        current = stored.run.input.callback
        if current == callback:
            return None
        if stored.run.finished and callback is not None:
            raise Conflict("The run has ended; its result can be read.", code="run_ended")
        if current is not None and current.format not in FORMATS:
            raise Conflict("The run's end is reported in another way.", code="callback_taken")
        return ConversationChange(run=replace(stored.run, input=replace(stored.run.input, callback=callback)))

    stored = await conversations.update(run.workspace, run.session_id, run.id, decide)
    return stored.run or run
