"""What is read of a session, and what a decision changes in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from kernel.journal import Event
from lifecycle.conversations.client_tools import ClientCall
from lifecycle.conversations.run import Run
from lifecycle.conversations.session import Session


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the history: who said what in which run.

    Attributes:
        role: `user`, `assistant`, or `tool`, whose text is what came of calls (`client_tools.results_text`).
        text: The words.
        run_id: The run.
        at: When.
        author: The person who answered; empty where none did.
        tool_calls: The calls of the caller's tools that the model asked for.
    """

    role: str
    text: str
    run_id: str
    at: datetime
    author: str = ""
    tool_calls: tuple[ClientCall, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredConversation:
    """A session and one of its runs as read, with the ETags that a change is guarded by; None where there is no row."""

    session: Session | None
    run: Run | None
    session_etag: str = ""
    run_etag: str = ""


@dataclass(frozen=True, slots=True)
class ConversationChange:
    """What a decision changes, committed whole or not at all; None leaves the session or run untouched.

    Turns and events are numbered by the session's counters, so a change that adds any changes the session too.
    """

    session: Session | None = None
    run: Run | None = None
    turns: Sequence[Turn] = field(default=())
    events: Sequence[Event] = field(default=())


Decide = Callable[[StoredConversation], ConversationChange | None]
"""Returns the change to commit, or None when there is nothing (left) to do; called again when somebody was faster."""


Committed = Callable[[Session, Sequence[Event]], None]
"""Is told of events that were committed, and of the session, whose last events they are, as it is then."""

Doubted = Callable[[str, str], None]
"""Is told of a workspace's session that it cannot be said whether something was committed."""


RunChanged = Callable[[Run | None, Run], None]
"""Is told of a run as it was, None for a new one, and as it is."""
