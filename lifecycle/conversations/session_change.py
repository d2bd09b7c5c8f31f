"""A session and run as read, and the change that a decision makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from datetime import datetime

from kernel.journal import Event
from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.client_tool_values import ClientCall
from lifecycle.conversations.run import Run
from lifecycle.conversations.session import Session


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a session's history.

    Attributes:
        role: `user`, `assistant`, or `tool` for results of tool calls (`client_tools.results_text`).
        text: The message's text.
        run_id: The run that it belongs to.
        at: When, aware UTC.
        author: The person who answered; empty for an agent.
        tool_calls: The calls of client tools that the model asked for.
    """

    role: str
    text: str
    run_id: str
    at: datetime
    author: str = ""
    tool_calls: tuple[ClientCall, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredConversation:
    """A session and one of its runs as read, with their ETags; None where there is no row."""

    session: Session | None
    run: Run | None
    session_etag: str = ""
    run_etag: str = ""


@dataclass(frozen=True, slots=True)
class ConversationChange:
    """A change of a session and run, committed as a whole; None leaves the session or run unchanged.

    Turns and events are numbered by the session's counters, so a change that adds any changes the session too.
    """

    session: Session | None = None
    run: Run | None = None
    turns: Sequence[Turn] = field(default=())
    events: Sequence[Event] = field(default=())


Decide = Callable[[StoredConversation], ConversationChange | None]
"""Returns the change to commit, None for nothing; called again if the session was changed meanwhile."""


Committed = Callable[[Session, Sequence[Event]], None]
"""Called after a commit, with the session and the committed events, which are its last ones."""

CommitUncertain = Callable[[str, str], None]
"""Called with workspace and session id when it is unknown whether a commit took effect."""


RunChanged = Callable[[Run | None, Run], None]
"""Called after a run was changed, with the run before (None for a new one) and after."""
