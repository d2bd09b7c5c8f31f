"""Lists sessions by agent, user and state, at a bounded cost per page."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kernel.codec import if_readable
from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.session import SessionState

if TYPE_CHECKING:
    from lifecycle.conversations.run_and_session_indexes import Directory
    from lifecycle.conversations.session import Session
    from lifecycle.conversations.session_store import ConversationStore

MOST_LOOKED_AT = 200
"""Most sessions read for one page when filtering by state, which no index has."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which sessions to list; None for any."""

    agent: str | None = None
    user_id: str | None = None
    state: SessionState | None = None


class SessionList:
    """Lists sessions."""

    def __init__(self, conversations: ConversationStore, directory: Directory) -> None:
        self._conversations = conversations
        self._directory = directory

    async def page(
        self, workspace: str, wanted: Filter, limit: int, after: str | None
    ) -> tuple[Sequence[Session], str | None]:
        """Return up to `limit` sessions, newest first, and the token to continue after; None at the end.

        A page can be short or empty before the end, as at most MOST_LOOKED_AT sessions are read for it.
        """
        found: list[Session] = []
        looked_at = 0
        while True:
            entries, following = await self._directory.sessions(
                workspace, agent=wanted.agent, user_id=wanted.user_id, limit=limit, after=after
            )
            loaded = await asyncio.gather(
                *(
                    if_readable(self._conversations.load(workspace, entry.session_id), "session", entry.session_id)
                    for entry in entries
                )
            )
            for entry, stored in zip(entries, loaded, strict=True):
                session = stored.session if stored else None
                if session is None or not entry.is_of(session) or not _is_wanted(session, wanted):
                    continue
                found.append(session)
                if len(found) == limit:
                    last = entry is entries[-1] and following is None
                    return found, None if last else entry.key
            after = following
            looked_at += len(entries)
            if after is None or wanted.state is None or looked_at >= MOST_LOOKED_AT:
                return found, after


def _is_wanted(session: Session, wanted: Filter) -> bool:
    if session.state is SessionState.ERASED:
        return False
    return wanted.state is None or session.state is wanted.state
