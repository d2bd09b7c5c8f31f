"""Changing where a run's states are pushed to while it has not ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kernel.errors import Conflict, NotFound
from lifecycle.callbacks.targets import MOST_PUSHES
from lifecycle.conversations.run_callbacks import Callback
from lifecycle.conversations.session_change import ConversationChange

if TYPE_CHECKING:
    from collections.abc import Callable

    from lifecycle.conversations.run import Run
    from lifecycle.conversations.run_callbacks import Push
    from lifecycle.conversations.session_store import ConversationStore, StoredConversation


async def set_push(conversations: ConversationStore, run: Run, push: Push) -> Run:
    """Have the run's states pushed to there, too, in place of what was set by the same id; return the run.

    Raises:
        NotFound: The run is erased.
        Conflict: It has ended (`run_ended`), or is pushed to as many places as one can be (`too_many_pushes`).
    """

    def changed(before: Run, pushes: tuple[Push, ...]) -> tuple[Push, ...]:
        if push in pushes:
            return pushes
        if before.finished:
            raise Conflict("The run has ended; what comes of it can be read.", code="run_ended")
        others = tuple(each for each in pushes if each.id != push.id)
        if len(others) >= MOST_PUSHES:
            msg = f"A run is pushed to at most {MOST_PUSHES} places."
            raise Conflict(msg, code="too_many_pushes")
        return (*others, push)

    return await _change(conversations, run, changed)


async def remove_push(conversations: ConversationStore, run: Run, ident: str) -> Run:
    """Have nothing more pushed to what was set by the id, and return the run.

    Raises:
        NotFound: The run is erased.
    """
    return await _change(conversations, run, lambda _, pushes: tuple(each for each in pushes if each.id != ident))


async def _change(
    conversations: ConversationStore, run: Run, changed: Callable[[Run, tuple[Push, ...]], tuple[Push, ...]]
) -> Run:
    def decide(stored: StoredConversation) -> ConversationChange | None:
        if stored.run is None:
            raise NotFound("The run is erased.", code="run_not_found")
        known = stored.run.input.callback or Callback()
        callback = replace(known, pushes=changed(stored.run, known.pushes))
        if callback == known:
            return None
        wanted = None if callback == Callback() else callback
        return ConversationChange(run=replace(stored.run, input=replace(stored.run.input, callback=wanted)))

    stored = await conversations.update(run.workspace, run.session_id, run.id, decide)
    return stored.run or run
